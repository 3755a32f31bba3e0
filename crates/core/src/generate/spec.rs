//! What a generator file says: the members of a record, in order, each with the rule that draws it.
//!
//! The words of a feed stand in its file, never here. A rule may look only at members before it.

use serde::Deserialize;

use super::rule::{Formula, Numbers, Rule};
use crate::decimal::{DecimalError, MAX_PRECISION, parse_decimal};
use crate::expr::{Expr, ExprError};
use crate::types::{Column, DataType};

/// Why a generator file was refused. The user must change the file.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Not TOML, an unknown key or a value of the wrong type.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A member's rule can't be used.
    #[error("member `{member}`: {message}")]
    Member {
        /// The member's name.
        member: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Something beside the members.
    #[error("{0}")]
    Other(String),
}

/// A validated generator file.
#[derive(Clone, Debug)]
pub struct GeneratorSpec {
    /// Partitions of the topic, where the generator has to create it.
    pub partitions: u32,
    /// Records per second where nothing else is asked for.
    pub rate: u32,
    /// A late record is this much late: from, to, in milliseconds, both inclusive.
    pub late_ms: (i64, i64),
    /// Index of the member whose text is the Kafka key.
    pub key: usize,
    /// The members in order.
    pub members: Vec<Member>,
}

/// One member of the generated object.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its key in the object.
    pub name: String,
    /// Drawn for other members' rules, but not written.
    pub hidden: bool,
    pub(super) rule: Rule,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    partitions: u32,
    rate: u32,
    key: String,
    #[serde(default = "default_late_seconds")]
    late_seconds: (u32, u32),
    member: Vec<FileMember>,
}

/// Beyond an out-of-orderness of ten minutes.
fn default_late_seconds() -> (u32, u32) {
    (900, 1800)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMember {
    name: String,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    skewed: bool,
    sequence: Option<String>,
    numbered: Option<(String, u64)>,
    choice: Option<Vec<String>>,
    numbers: Option<Vec<String>>,
    follows: Option<String>,
    words: Option<Vec<Vec<String>>>,
    dates: Option<(String, String)>,
    integers: Option<(i64, i64)>,
    decimals: Option<(String, String)>,
    sql: Option<String>,
    scale: Option<u8>,
}

impl GeneratorSpec {
    /// Reads a generator file.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let file: File = toml::from_str(text)?;
        let mut members: Vec<Member> = Vec::with_capacity(file.member.len());
        for member in file.member {
            let name = member.name.clone();
            let rule =
                rule(&member, &members).map_err(|message| SpecError::Member { member: name.clone(), message })?;
            if members.iter().any(|other| other.name == name) {
                return Err(SpecError::Member { member: name, message: "declared twice".to_owned() });
            }
            members.push(Member { name, hidden: member.hidden, rule });
        }
        let key = members.iter().position(|member| member.name == file.key);
        let key = key.ok_or_else(|| SpecError::Other(format!("key: there is no member `{}`", file.key)))?;
        if file.partitions == 0 || file.rate == 0 {
            return Err(SpecError::Other("partitions and rate must be at least 1".to_owned()));
        }
        let (from, to) = file.late_seconds;
        Ok(Self {
            partitions: file.partitions,
            rate: file.rate,
            late_ms: (i64::from(from) * 1000, i64::from(to) * 1000),
            key,
            members,
        })
    }
}

fn rule(member: &FileMember, before: &[Member]) -> Result<Rule, String> {
    let mut rules: Vec<Result<Rule, String>> = Vec::new();
    rules.extend(member.sequence.as_deref().map(Rule::sequence));
    rules.extend(member.numbered.as_ref().map(|(format, count)| Rule::numbered(format, *count, member.skewed)));
    rules.extend(member.choice.as_ref().map(|values| choice(member, values, before)));
    rules.extend(member.numbers.as_ref().map(|texts| numbers(texts)));
    rules.extend(member.words.as_ref().map(|lists| Rule::words(lists)));
    rules.extend(member.dates.as_ref().map(|(from, to)| Rule::dates(from, to)));
    rules.extend(member.integers.map(|(from, to)| Rule::integers(from, to)));
    rules.extend(member.decimals.as_ref().map(|(from, to)| decimals(from, to)));
    rules.extend(member.sql.as_deref().map(|sql| formula(sql, member.scale.unwrap_or(2), before)));
    match rules.len() {
        1 => rules.remove(0),
        _ => {
            Err("needs exactly one of sequence, numbered, choice, numbers, words, dates, integers, decimals, sql"
                .into())
        }
    }
}

fn choice(member: &FileMember, values: &[String], before: &[Member]) -> Result<Rule, String> {
    let Some(leader) = &member.follows else { return Rule::choice(values, member.skewed) };
    let index = before.iter().position(|other| other.name == *leader);
    let index = index.ok_or_else(|| format!("follows `{leader}`, which is not a member before it"))?;
    let leader_count = before.get(index).and_then(|leader| leader.rule.choices());
    if leader_count != Some(values.len()) {
        return Err(format!("must have as many values as `{leader}`, which must be a choice"));
    }
    Rule::following(index, values)
}

fn numbers(texts: &[String]) -> Result<Rule, String> {
    let scale = texts.iter().map(|text| scale_of(text)).max().unwrap_or(0);
    let values = texts.iter().map(|text| unscaled(text, scale)).collect::<Result<Vec<_>, _>>()?;
    if values.is_empty() {
        Err("needs at least one number".into())
    } else {
        Ok(Rule::Numbers(Numbers { values, scale }))
    }
}

fn decimals(from: &str, to: &str) -> Result<Rule, String> {
    let scale = scale_of(from).max(scale_of(to));
    Rule::decimals(unscaled(from, scale)?, unscaled(to, scale)?, scale)
}

fn scale_of(text: &str) -> u8 {
    text.split_once('.').map_or(0, |(_, fraction)| u8::try_from(fraction.len()).unwrap_or(u8::MAX)).min(9)
}

fn unscaled(text: &str, scale: u8) -> Result<i64, String> {
    let error = |error: DecimalError| format!("{text:?}: {error}");
    let value = parse_decimal(text, 18, i8::try_from(scale).unwrap_or(0), false).map_err(error)?;
    i64::try_from(value).map_err(|_| format!("{text:?} is out of range"))
}

/// The formula over the numeric members before it; its answer is rounded to `scale` digits.
fn formula(sql: &str, scale: u8, before: &[Member]) -> Result<Rule, String> {
    let numeric =
        |(i, member): (usize, &Member)| Some((i, Column::new(&member.name, member.rule.numeric_type()?, false)));
    let (inputs, scope): (Vec<_>, Vec<_>) = before.iter().enumerate().filter_map(numeric).unzip();
    let scale = i8::try_from(scale).map_err(|_| "scale is at most 9".to_owned())?;
    let compiled = Expr::compile(sql, &scope).and_then(|expr| expr.cast_to(formula_type(scale)));
    let expr = compiled.map_err(|error: ExprError| format!("sql, character {}: {error}", error.column))?;
    Ok(Rule::Formula(Formula { expr, inputs, scale }))
}

/// The type of a formula's answer: as many digits as a code holds.
pub(super) fn formula_type(scale: i8) -> DataType {
    DataType::Decimal { precision: 18.min(MAX_PRECISION), scale }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn check(members: &str, expected: &str) {
        let text = format!("partitions = 1\nrate = 1\nkey = \"id\"\n{members}");
        let error = GeneratorSpec::parse(&text).err().unwrap_or_else(|| panic!("accepted: {members}"));
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_used_says_which_member_is_wrong() {
        let id = "[[member]]\nname = \"id\"\nsequence = \"i%03d\"\n";
        check("", "missing field `member`");
        check("[[member]]\nname = \"x\"\nsequence = \"i%d\"", "there is no member `id`");
        check(&format!("{id}{id}"), "declared twice");
        check("[[member]]\nname = \"id\"", "exactly one of");
        check("[[member]]\nname = \"id\"\nsequence = \"i%d\"\nintegers = [1, 2]", "exactly one of");
        check("[[member]]\nname = \"id\"\nsequence = \"none\"", "%0");
        check("[[member]]\nname = \"id\"\nchoice = []", "at least one");
        check("[[member]]\nname = \"id\"\nintegers = [2, 1]", "from <= to");
        check("[[member]]\nname = \"id\"\ndates = [\"2024-02-30\", \"2024-03-01\"]", "2024-02-30");
        check("[[member]]\nname = \"id\"\ndecimals = [\"x\", \"1\"]", "not a number");
        check("[[member]]\nname = \"id\"\nfollows = \"y\"\nchoice = [\"a\"]", "not a member before");
        check(&format!("{id}[[member]]\nname = \"y\"\nfollows = \"id\"\nchoice = [\"a\"]"), "as many values");
        check("[[member]]\nname = \"id\"\nsequenze = \"i%d\"", "unknown field");
    }
}
