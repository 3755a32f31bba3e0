//! Each rule left out: the exploration must find what goes wrong.

#![allow(clippy::panic)]

use std::time::Instant;

use lakeward_model::{Model, Rule, configurations, explore};

const LIMIT: usize = 5_000_000;

#[test]
fn without_any_one_rule_something_goes_wrong() {
    let started = Instant::now();
    let mut needless = Vec::new();
    for &rule in Rule::ALL {
        let setup = configurations::of(rule);
        let name = setup.name;
        match explore(&Model::without(setup, rule), LIMIT).found {
            Some(found) => {
                let (violation, steps) = (&found.violation, found.history.len());
                println!("| {rule} | {name} | {} | {steps} | {} |", violation.invariant, violation.what);
                if std::env::var_os("LAKEWARD_MODEL_HISTORIES").is_some() {
                    println!("    {}", found.history.join("\n    "));
                }
            }
            None => needless.push(rule),
        }
    }
    println!("{} rules, {:.1?}", Rule::ALL.len(), started.elapsed());
    assert!(needless.is_empty(), "nothing goes wrong without {needless:?}");
}
