//! The near name for a misspelt one.

/// The candidate that `name` was probably meant to be, if one is near enough: equal but for case, or a slip or two.
#[must_use]
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let wanted = fold(name);
    let scored = candidates.into_iter().filter_map(|candidate| {
        let folded = fold(candidate);
        let distance = strsim::damerau_levenshtein(&wanted, &folded);
        let longer = wanted.chars().count().max(folded.chars().count());
        let limit = (longer / 3).clamp(1, 4);
        let beginning = wanted.len() >= 4 && (folded.starts_with(&wanted) || wanted.starts_with(&folded));
        (distance <= limit || beginning).then_some((distance, candidate))
    });
    scored.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Case, and what people write between words, doesn't count.
fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_does_not() {
        let names = ["topic", "format", "partition_by", "out_of_orderness"];
        let cases = [
            ("topc", Some("topic")),
            ("Topic", Some("topic")),
            ("partitionBy", Some("partition_by")),
            ("partitoin_by", Some("partition_by")),
            ("out_of_orderdness", Some("out_of_orderness")),
            ("zebra", None),
            ("x", None),
        ];
        for (name, expected) in cases {
            assert_eq!(nearest(name, names), expected, "{name}");
        }
    }
}
