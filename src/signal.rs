//! Stop signals: the first one asks for a clean stop, the second ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Exit code after a second signal, as shells use it for an interrupted program.
const INTERRUPTED: i32 = 130;

/// Listens for SIGTERM and SIGINT. The sender's value becomes true at the first one; SIGHUP is ignored. `meanwhile` says
/// what is still done then.
#[must_use]
pub fn stop_signals(meanwhile: &'static str) -> watch::Sender<bool> {
    let (stop, _) = watch::channel(false);
    let asked = stop.clone();
    actix::spawn(async move {
        let (Ok(mut term), Ok(mut int), Ok(mut hup)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
        else {
            tracing::warn!("signals can't be caught; stopping is kill -9, which is safe");
            return;
        };
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
                _ = hup.recv() => continue,
            }
            if asked.send_replace(true) {
                std::process::exit(INTERRUPTED);
            }
            tracing::info!(meanwhile, "stopping; a second signal ends at once");
        }
    });
    stop
}
