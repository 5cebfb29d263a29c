//! Panics of a codec are caught and told, without a backtrace for each on the terminal.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::Once,
};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Calls `f`; its panic is the text of the panic and where it was.
pub(super) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(quieten);
    let outer = QUIET.replace(true);
    // What a panic leaves behind is never called again.
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    QUIET.set(outer);
    result.map_err(|payload| format!("{}{}", text(&*payload), PLACE.take()))
}

/// Panics in other threads, and in this one outside of `caught`, go where they went before.
fn quieten() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if QUIET.get() {
            PLACE.replace(place(info));
        } else {
            before(info);
        }
    }));
}

fn place(info: &PanicHookInfo<'_>) -> String {
    info.location()
        .map(|place| format!(", at {place}"))
        .unwrap_or_default()
}

fn text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}
