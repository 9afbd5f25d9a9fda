//! Whole features through the program and the public interface, one module a topic.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod command_line;
mod durability;
mod rules;
