//! Showing a pull: a bar for each layer on a terminal, a line for each layer elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::image::digest::Digest;
use crate::image::layer::limits::human;
use crate::image::progress::{Event, Progress};

/// What is shown of a pull, on standard error.
pub enum Shown {
    /// Nothing but errors.
    Nothing,
    /// A line for each layer, when it is done.
    Lines { done: &'static str, sizes: Mutex<HashMap<Digest, u64>> },
    /// A bar for each layer.
    Bars { all: MultiProgress, each: Mutex<HashMap<Digest, ProgressBar>> },
}

impl Shown {
    /// What fits standard error; a layer that is through is `done`, pulled or pushed.
    pub fn new(quiet: bool, done: &'static str) -> Shown {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        match (quiet, std::io::stderr().is_terminal() && !dumb) {
            (true, _) => Shown::Nothing,
            (false, false) => Shown::Lines { done, sizes: Mutex::default() },
            (false, true) => Shown::Bars {
                all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)),
                each: Mutex::default(),
            },
        }
    }
}

impl Progress for Shown {
    fn layer(&self, layer: &Digest, event: Event) {
        match self {
            Shown::Nothing => {}
            Shown::Lines { done, sizes } => {
                let mut sizes = sizes.lock().unwrap_or_else(PoisonError::into_inner);
                if let Event::Begins(length) = event {
                    sizes.insert(*layer, length);
                }
                let size = sizes.get(layer).map(|size| format!(" ({})", human(*size))).unwrap_or_default();
                let what = match event {
                    Event::Present => "is here already",
                    Event::Waits => "is being made by another podling, which is waited for",
                    Event::Again => "comes again from its beginning",
                    Event::Done => done,
                    Event::Begins(_) | Event::Bytes(_) | Event::Fetched => return,
                };
                super::say(format_args!("layer {}{size}: {what}", layer.short()));
            }
            Shown::Bars { all, each } => {
                let mut each = each.lock().unwrap_or_else(PoisonError::into_inner);
                let bar = each
                    .entry(*layer)
                    .or_insert_with(|| all.add(ProgressBar::new(0).with_style(style(WORD)).with_prefix(layer.short())));
                draw(bar, event);
            }
        }
    }

    fn waits(&self) {
        // No bar is there yet.
        if !matches!(self, Shown::Nothing) {
            super::say("another podling is pulling this image, and is waited for");
        }
    }
}

const BYTES: &str = "{prefix}  [{bar:30}] {decimal_bytes:>10} / {decimal_total_bytes:<10} {decimal_bytes_per_sec}";
const WORD: &str = "{prefix}  {msg}";

/// The template is a constant, so it parses; if it did not, the library's own style would do.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

fn draw(bar: &ProgressBar, event: Event) {
    match event {
        Event::Begins(length) => {
            bar.set_style(style(BYTES));
            bar.set_length(length);
            bar.reset();
        }
        Event::Bytes(count) => bar.inc(count),
        Event::Again => bar.set_position(0),
        Event::Fetched => {
            bar.set_style(style(WORD));
            bar.set_message("unpacking");
        }
        Event::Waits => bar.set_message("waiting for another podling, which is making it"),
        Event::Present => bar.finish_with_message("here already"),
        Event::Done => {
            bar.set_style(style(WORD));
            let size = bar.length().filter(|length| *length > 0).map(|length| format!(" {}", human(length)));
            bar.finish_with_message(format!("done{}", size.unwrap_or_default()));
        }
    }
}
