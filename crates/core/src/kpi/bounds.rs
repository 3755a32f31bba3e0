//! Where windows begin and end: `[start, end)` in event time (T1).

use crate::ids::EventTime;
use crate::pipeline::Window;

/// The start, inclusive, of the window that holds `time`.
#[must_use]
pub fn window_start(window: Window, time: EventTime) -> EventTime {
    let Window::Tumbling { size } = window;
    time.minus(time.0.checked_rem_euclid(size).unwrap_or(0))
}

/// The end, exclusive, of the window that starts at `start`.
#[must_use]
pub fn window_end(window: Window, start: EventTime) -> EventTime {
    let Window::Tumbling { size } = window;
    start.plus(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_aligned_to_the_epoch_and_half_open() {
        let window = Window::Tumbling { size: 10 };
        for (time, start) in [(0, 0), (9, 0), (10, 10), (-1, -10), (-10, -10), (-11, -20)] {
            assert_eq!(window_start(window, EventTime(time)), EventTime(start));
        }
        assert_eq!(window_end(window, EventTime(-10)), EventTime(0));
    }
}
