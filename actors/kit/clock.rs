//! The one place that reads a clock.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall and steady time, injected so that tests decide what time it is.
#[derive(Clone)]
pub struct Clock {
    wall: Arc<dyn Fn() -> i64 + Send + Sync>,
    steady: Arc<dyn Fn() -> Instant + Send + Sync>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::with_wall(system_micros)
    }

    /// A clock whose wall time is what `wall` returns, in microseconds.
    #[must_use]
    pub fn with_wall(wall: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self::with(wall, now)
    }

    /// A clock of which both times are given; `steady` never goes back.
    #[must_use]
    pub fn with(
        wall: impl Fn() -> i64 + Send + Sync + 'static,
        steady: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Self {
        Self { wall: Arc::new(wall), steady: Arc::new(steady) }
    }

    /// Microseconds since 1970-01-01T00:00:00Z. May jump.
    #[must_use]
    pub fn wall_micros(&self) -> i64 {
        (self.wall)()
    }

    /// A steady instant, for durations.
    #[must_use]
    pub fn steady(&self) -> Instant {
        (self.steady)()
    }
}

/// The machine's steady time, for gauges: no decision depends on it.
#[must_use]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// A configured span of microseconds as a `Duration`; negative spans are empty.
#[must_use]
pub fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

fn system_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
