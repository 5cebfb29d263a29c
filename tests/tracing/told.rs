//! What nodes tell `tracing`, kept by node.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    filter::filter_fn,
    fmt::layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};
use wattle::{Builder, Peer, Transport};

/// What all nodes of this process have told. One subscriber serves all tests, because the level that
/// is asked for is cached for the process; each test looks at the nodes that it has named.
static LOG: LazyLock<Mutex<Log>> = LazyLock::new(|| {
    let ours = filter_fn(|metadata: &Metadata<'_>| metadata.target().starts_with("wattle"));
    let text = layer().with_ansi(false).with_writer(|| Text);
    let subscriber = tracing_subscriber::registry().with(text.and_then(Tell).with_filter(ours));
    tracing::subscriber::set_global_default(subscriber).expect("no other subscriber");
    Mutex::default()
});

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) told: Vec<Told>,
    /// What the usual formatter makes of it, an event each.
    pub(crate) text: Vec<String>,
    /// By node, how many spans are open.
    open: BTreeMap<String, usize>,
}

/// An event of a node.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) node: String,
    /// The spans inside the node's.
    pub(crate) within: Vec<String>,
    level: Level,
    pub(crate) fields: Fields,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(pub(crate) BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Fields {
    pub(crate) fn number(&self, name: &str) -> usize {
        self.0[name].parse().expect("a number")
    }
}

/// The message comes first: `refused addr=… limit=…`.
impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = self.0.clone();
        let message = fields.remove("message").into_iter();
        let fields = fields
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"));
        f.write_str(&message.chain(fields).collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for span in &self.within {
            write!(f, "{span}: ")?;
        }
        self.fields.fmt(f)
    }
}

pub(crate) fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Tell;

/// A span's node, and how it reads.
struct Place(String, String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Tell {
    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let span = cx.span(id).expect("it is new");
        let node = match span.parent() {
            Some(node) => node.extensions().get::<Place>().expect("a place").0.clone(),
            None => fields.0.get("name").expect("a node's span").clone(),
        };
        *log().open.entry(node.clone()).or_default() += 1;
        let text = format!("{}{{{fields}}}", span.name());
        span.extensions_mut().insert(Place(node, text));
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let scope = cx.event_scope(event).expect("every event is in a span");
        let mut places = scope.from_root().map(|span| {
            let extensions = span.extensions();
            let Place(node, text) = extensions.get().expect("a place");
            (node.clone(), text.clone())
        });
        let (node, first) = places.next().expect("at least one span");
        assert_eq!(first, format!("node{{name={node}}}"));
        let within = places.map(|(_, text)| text).collect();
        let level = *event.metadata().level();
        log().told.push(Told {
            node,
            within,
            level,
            fields,
        });
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        let span = cx.span(&id).expect("it is being closed");
        let extensions = span.extensions();
        let Place(node, _) = extensions.get().expect("a place");
        *log().open.get_mut(node).expect("an open span") -= 1;
    }
}

/// Where the formatter writes an event at a time.
struct Text;

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        log().text.push(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The options of a node with a name that no other test uses.
pub(crate) fn named<T: Transport>(name: &str, builder: Builder<T>) -> Builder<T> {
    drop(log());
    builder.name(name)
}

pub(crate) fn told_by(name: &str, matters: impl Fn(Level) -> bool) -> Vec<Told> {
    let node = format!("{name:?}");
    let log = log();
    let told = log.told.iter().filter(|told| told.node == node);
    told.filter(|told| matters(told.level)).cloned().collect()
}

/// All that a person sees who looks at `debug`.
pub(crate) fn life_of(name: &str) -> Vec<String> {
    let told = told_by(name, |level| level <= Level::DEBUG);
    told.iter().map(Told::to_string).collect()
}

pub(crate) fn open_spans(name: &str) -> usize {
    log().open[&format!("{name:?}")]
}

/// How the span of a connection reads.
pub(crate) fn span_of(peer: Peer) -> String {
    format!("connection{{id={} peer={}}}", peer.id(), peer.addr())
}
