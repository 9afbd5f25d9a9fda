//! Flags become requests; wrong flags are refused before anything is opened.

use clap::{CommandFactory, Parser};

use super::app::{App, Command};
use crate::pipeline::request::RecommendRequest;
use crate::types::{Date, GenerationId, TrackId};

fn parse(line: &str) -> Result<Command, clap::Error> {
    App::try_parse_from(line.split(' ')).map(|app| app.command)
}

fn refusal(line: &str) -> String {
    parse(line).map(|_| ()).expect_err("wrong usage").to_string()
}

#[test]
fn the_commands_are_consistent() {
    App::command().debug_assert();
}

#[test]
fn every_command_has_examples_or_says_enough() {
    for command in App::command().get_subcommands() {
        let help = command.clone().render_long_help().to_string();
        assert!(help.contains("Example") || command.get_name() == "estimate", "{}", command.get_name());
        let longest = help.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(longest <= 120, "{} is {longest} columns wide", command.get_name());
    }
}

#[test]
fn recommend_flags_become_a_request() {
    let line = "segue recommend --user u1 --surface radio --n 5 --as-of 2026-11-01T00:00:00Z --recipe daily_mix@2 \
                --seed t1 --seed t2 --utc-offset -60 --tempo 100..120 --released 2020-01-01..2020-12-31 --genre jazz \
                --generation 3 --exact --json --data d";
    let Ok(Command::Recommend(args)) = parse(&line.split_whitespace().collect::<Vec<_>>().join(" ")) else {
        panic!("the line is valid")
    };
    let request = RecommendRequest::from(args.request().clone());
    assert_eq!((request.user_id.as_str(), request.surface.as_str(), request.n), ("u1", "radio", Some(5)));
    assert_eq!(request.as_of.map(|at| at.to_string()).as_deref(), Some("2026-11-01T00:00:00Z"));
    assert_eq!(request.recipe.as_deref(), Some("daily_mix@2"));
    assert_eq!(request.seeds, [TrackId::new("t1").expect("valid"), TrackId::new("t2").expect("valid")]);
    assert_eq!((request.context.utc_offset_min, request.filter.tempo), (-60, Some((100.0, 120.0))));
    assert_eq!(request.filter.release_date, Some((Date(18_262), Date(18_627))));
    assert_eq!((request.generation, request.exact), (Some(GenerationId(3)), true));
}

#[test]
fn wrong_flags_name_what_is_wrong() {
    assert!(refusal("segue recommend --user u1 --data d").contains("--surface"));
    assert!(refusal("segue recommend --user u1 --surface s --as-of yesterday --data d").contains("RFC 3339"));
    assert!(refusal("segue recommend --user u1 --surface s --region Sweden --data d").contains("two-letter"));
    assert!(refusal("segue feedback --user u1 --action dance --data d").contains("expected one of play"));
    assert!(refusal("segue similar --data d").contains("--track"));
    assert!(refusal("segue load vectors v.parquet --data d").contains("--space"));
    assert!(refusal("segue load songs v.parquet --data d").contains("tracks"));
    assert!(refusal("segue recipe activate daily_mix --data d").contains("NAME@VERSION"));
    assert!(refusal("segue similar --track t --data d --endpoint http://h").contains("cannot be used with"));
}
