//! Who may come in: permits that release themselves.
//!
//! A connection holds a [`Permit`] from the moment it is dialled or accepted until it has ended. The
//! permit lives inside what it limits, so no path can forget it: not an error, not a timeout, not a
//! panic.

use std::sync::Arc;

use crate::{
    config::Limits,
    error::{InvalidOption, Limit},
    sync::Mutex,
};

/// Who may come in: the [limits](Limits) of a node, changeable while it runs. A handle, cheap to
/// clone; it doesn't keep the node alive.
#[derive(Debug, Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Mutex<Limits>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Pending and established.
    connections: usize,
    pending: usize,
}

/// The right to be a connection: pending first, then established.
#[derive(Debug)]
pub(crate) struct Permit {
    shared: Arc<Shared>,
    pending: bool,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            shared: Arc::new(Shared {
                limits: Mutex::new(limits),
                counts: Mutex::new(Counts::default()),
            }),
        }
    }

    /// The limits as they are.
    pub fn limits(&self) -> Limits {
        *self.shared.limits.lock()
    }

    /// Changes the limits, for connections that come from now on.
    ///
    /// # Errors
    ///
    /// A limit that makes no sense; then nothing has changed.
    pub fn set_limits(&self, limits: Limits) -> Result<(), InvalidOption> {
        limits.validate()?;
        *self.shared.limits.lock() = limits;
        Ok(())
    }

    /// Lets a pending connection in, or says which limit is reached.
    pub(crate) fn admit(&self) -> Result<Permit, Limit> {
        let limits = self.limits();
        let mut counts = self.shared.counts.lock();
        if counts.connections >= limits.max_connections {
            return Err(Limit::Connections(limits.max_connections));
        }
        if counts.pending >= limits.max_pending {
            return Err(Limit::Pending(limits.max_pending));
        }
        counts.connections += 1;
        counts.pending += 1;
        Ok(Permit {
            shared: self.shared.clone(),
            pending: true,
        })
    }
}

impl Permit {
    /// The handshake is done.
    pub(crate) fn establish(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.shared.counts.lock().pending -= 1;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.shared.counts.lock();
        counts.connections -= 1;
        counts.pending -= usize::from(self.pending);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_release_what_they_hold_in_either_state() {
        let admission = Admission::new(Limits {
            max_connections: 2,
            max_pending: 1,
            ..Limits::default()
        });
        let mut first = admission.admit().unwrap();
        assert_eq!(admission.admit().unwrap_err(), Limit::Pending(1));
        first.establish();
        let second = admission.admit().unwrap();
        assert_eq!(admission.admit().unwrap_err(), Limit::Connections(2));
        drop(second);
        let second = admission.admit().unwrap();
        drop((first, second));
        let counts = admission.shared.counts.lock();
        assert_eq!((counts.connections, counts.pending), (0, 0));
    }
}
