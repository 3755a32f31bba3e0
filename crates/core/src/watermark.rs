use crate::ids::EventTime;
pub fn global(w: impl Iterator<Item = EventTime>, previous: EventTime) -> EventTime {
    w.min().map_or(previous, |m| m.max(previous))
}
pub fn floor_for_idle(partitions: &[(EventTime, bool)]) -> Option<EventTime> {
    let _ = partitions;
    None
}
pub fn is_closed(end: EventTime, lateness: i64, g: EventTime) -> bool {
    end.plus(lateness) <= g
}
