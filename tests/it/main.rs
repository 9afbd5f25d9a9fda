//! Whole features through the program and the public interface, one module a topic.

mod command_line;
