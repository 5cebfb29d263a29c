//! Who may come in: permits that release themselves.
//!
//! A connection holds a [`Permit`] from the moment it is dialled or accepted until it has ended. The
//! permit lives inside what it limits, so no path can forget it: not an error, not a timeout, not a
//! panic.

use std::sync::Arc;

use crate::{error::Limit, sync::Mutex};

#[derive(Debug)]
pub(crate) struct Admission {
    max_connections: usize,
    max_pending: usize,
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
    admission: Arc<Admission>,
    pending: bool,
}

impl Admission {
    pub(crate) fn new(max_connections: usize, max_pending: usize) -> Arc<Self> {
        Arc::new(Self {
            max_connections,
            max_pending,
            counts: Mutex::new(Counts::default()),
        })
    }

    /// Lets a pending connection in, or says which limit is reached.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Permit, Limit> {
        let mut counts = self.counts.lock();
        if counts.connections >= self.max_connections {
            return Err(Limit::Connections(self.max_connections));
        }
        if counts.pending >= self.max_pending {
            return Err(Limit::Pending(self.max_pending));
        }
        counts.connections += 1;
        counts.pending += 1;
        Ok(Permit {
            admission: self.clone(),
            pending: true,
        })
    }
}

impl Permit {
    /// The handshake is done.
    pub(crate) fn establish(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.admission.counts.lock().pending -= 1;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.connections -= 1;
        counts.pending -= usize::from(self.pending);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_release_what_they_hold_in_either_state() {
        let admission = Admission::new(2, 1);
        let mut first = admission.admit().unwrap();
        assert_eq!(admission.admit().unwrap_err(), Limit::Pending(1));
        first.establish();
        let second = admission.admit().unwrap();
        assert_eq!(admission.admit().unwrap_err(), Limit::Connections(2));
        drop(second);
        let second = admission.admit().unwrap();
        drop((first, second));
        let counts = admission.counts.lock();
        assert_eq!((counts.connections, counts.pending), (0, 0));
    }
}
