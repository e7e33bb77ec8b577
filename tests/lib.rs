//! The end-to-end tests are in `it/`, one binary for all of them: see `it/main.rs`.
