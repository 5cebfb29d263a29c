//! What a node must still be able to do after all this: let somebody in, when there is room for
//! exactly one. A permit that was forgotten anywhere, or a listener that died, shows here.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{Chaos, books::FOREIGN, codec::MAGIC, pool::Member, watchdog::SLACK, worker::Worker};

/// How long a visitor waits for the node's hello before it comes again.
const HELLO: Duration = Duration::from_secs(1);

/// Between two visits: those who stall in the handshake have to be given up by the node first.
const PAUSE: Duration = Duration::from_millis(10);

impl Worker {
    /// Ends a node's connections, and sees that one more gets in.
    pub(crate) async fn examine(&mut self, member: &Arc<Member>) {
        let bound = member.options.drain_timeout;
        for peer in member.node.peers() {
            let disconnect = member.node.disconnect(peer);
            self.watch("disconnect", member, bound, disconnect).await;
        }
        let addr = match member.node.listen(member.options.listen_on()).await {
            Ok(addr) => addr,
            Err(error) => return self.chaos.failures.report(format!("listen: {error}")),
        };
        member.limit_to_one(&self.chaos.failures);
        let begin = Instant::now();
        while let Err(error) = visit(addr).await {
            if begin.elapsed() > SLACK {
                let described = member.describe();
                let text = format!("nobody gets in any more ({error}): {described}");
                return self.chaos.failures.report(text);
            }
            sleep(PAUSE).await;
        }
    }
}

impl Chaos {
    /// Examines the nodes that are left, and ends them: one half by `shutdown`, the other by dropping
    /// them.
    pub(crate) async fn empty_the_pool(self: &Arc<Self>, mut worker: Worker) {
        while let Some(member) = self.pool.take(&mut worker.rng) {
            worker.examine(&member).await;
            if worker.rng.chance(500) {
                worker.end(member).await;
            }
        }
    }
}

/// Shakes hands, and leaves.
async fn visit(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_u64(MAGIC).await?;
    stream.write_u64(FOREIGN).await?;
    let mut hello = [0; 16];
    timeout(HELLO, stream.read_exact(&mut hello)).await??;
    Ok(())
}
