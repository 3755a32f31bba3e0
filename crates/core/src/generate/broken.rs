//! Payloads that decoding must refuse, made from good ones, each kind in turn.

/// How a payload is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Cut in the middle.
    Truncated,
    /// Without the key's member.
    MissingMember,
    /// A number as text.
    TextForNumber,
    /// The object within an array.
    NotAnObject,
    /// A number of forty digits.
    TooManyDigits,
    /// A byte that no UTF-8 text has.
    NotUtf8,
    /// No bytes.
    Empty,
}

impl Broken {
    /// Every kind, in the order in which a generator makes them.
    pub const ALL: [Self; 7] = [
        Self::Truncated,
        Self::MissingMember,
        Self::TextForNumber,
        Self::NotAnObject,
        Self::TooManyDigits,
        Self::NotUtf8,
        Self::Empty,
    ];
}

/// Breaks a whole payload, for the kinds that don't concern one member.
pub(super) fn break_payload(kind: Broken, payload: Vec<u8>) -> Vec<u8> {
    match kind {
        Broken::Truncated => payload.get(..payload.len() / 2).unwrap_or_default().to_vec(),
        Broken::NotAnObject => [b"[", payload.as_slice(), b"]"].concat(),
        Broken::NotUtf8 => payload.into_iter().map(|byte| if byte == b':' { 0xff } else { byte }).collect(),
        Broken::Empty => Vec::new(),
        Broken::MissingMember | Broken::TextForNumber | Broken::TooManyDigits => payload,
    }
}
