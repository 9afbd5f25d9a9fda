//! One self-contained page of a list: what each stage let through, and each track's scores as bars.

use std::fmt::Write;

use crate::pipeline::funnel::Funnel;
use crate::pipeline::request::{Recommendation, RecommendedTrack};

const STYLE: &str = "\
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#1b1b1b;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}small,.quiet{color:#666}
table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem .3rem 0;text-align:left;vertical-align:top}
tr{border-top:1px solid #e4e4e4}.bar{background:#eee;height:.7rem;width:9rem;display:inline-block}
.bar i{display:block;height:100%;background:#2f6f4f}.bar i.part{background:#5a7fb5}.tag{background:#f4e7c3;padding:0 .3rem}
@media(prefers-color-scheme:dark){body{background:#161616;color:#e6e6e6}tr{border-color:#333}.bar{background:#333}
small,.quiet{color:#999}.tag{background:#5c4a12}}";

/// The page. Needs nothing from anywhere: no script, no font, no picture.
#[must_use]
pub fn page(list: &Recommendation) -> String {
    let user = list.user_id.as_ref().map_or_else(String::new, ToString::to_string);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}: {1}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>{0}: {1}</h1>\n<p class=\"quiet\">as of {2}, request {3}, seed {4}, vector by {5}</p>\n",
        escape(&user),
        escape(&list.recipe),
        list.as_of,
        escape(&list.request_id),
        list.seed,
        escape(&list.cold_start),
    );
    if let Some(of) = &list.experiment {
        let (arm, experiment) = (escape(&of.arm), escape(&of.experiment));
        push(&mut html, format_args!("<p class=\"quiet\">arm {arm} of the experiment {experiment}</p>\n"));
    }
    for (name, words) in [("Missing", &list.degraded), ("Relaxed", &list.relaxed)] {
        if !words.is_empty() {
            let words: Vec<String> = words.iter().map(|word| escape(word)).collect();
            push(&mut html, format_args!("<p><b>{name}:</b> {}</p>\n", words.join("; ")));
        }
    }
    if let Some(funnel) = &list.funnel {
        write_funnel(&mut html, funnel);
    }
    html.push_str("<h2>The list</h2>\n<table>\n");
    let most = list.tracks.iter().map(|track| track.score).fold(0.0, f64::max);
    for (position, track) in (1..).zip(&list.tracks) {
        write_track(&mut html, position, track, most);
    }
    html.push_str("</table>\n</body></html>\n");
    html
}

fn write_funnel(html: &mut String, funnel: &Funnel) {
    html.push_str(
        "<h2>From candidates to list</h2>\n<table>\n<tr><th>source<th>asked for<th>offered<th>listed</tr>\n",
    );
    let most = funnel.sources.iter().map(|source| source.offered).max().unwrap_or(1).max(1) as f64;
    for source in &funnel.sources {
        push(
            html,
            format_args!(
                "<tr><td>{}<td>{}<td>{} {}<td>{}</tr>\n",
                escape(&source.source),
                source.depth,
                bar(source.offered as f64 / most, "part"),
                source.offered,
                source.listed
            ),
        );
    }
    push(
        html,
        format_args!(
            "</table>\n<p>{} different candidates, {} kept out by caps, {} added to fill the list, {} listed, {} of them explored.</p>\n",
            funnel.candidates, funnel.capped, funnel.filled, funnel.listed, funnel.explored
        ),
    );
}

fn write_track(html: &mut String, position: u32, track: &RecommendedTrack, most: f64) {
    let explored = if track.explored { " <span class=\"tag\">explored</span>" } else { "" };
    push(
        html,
        format_args!(
            "<tr><td>{position}<td><b>{}</b> {}{explored}<br><small>{}</small><td>{} {:.3}<br>",
            escape(&track.title),
            escape(&track.artists.join(", ")),
            escape(&track.reason),
            bar(if most > 0.0 { track.score / most } else { 0.0 }, ""),
            track.score,
        ),
    );
    if let Some(told) = &track.explanation {
        for source in &told.sources {
            push(
                html,
                format_args!(
                    "{} <small>{} {:.2} &times; {:.2}, place {}</small><br>",
                    bar(source.normalized, "part"),
                    escape(&source.source),
                    source.normalized,
                    source.weight,
                    source.rank + 1
                ),
            );
        }
        for (name, value) in [("session", told.session), ("context", told.context), ("novelty", told.novelty)]
        {
            push(html, format_args!("{} <small>{name} {value:.2}</small><br>", bar(value, "part")));
        }
        push(html, format_args!("<small>diversity took {:.2}</small>", told.mmr_penalty));
        if let (Some(arm), Some(propensity)) = (&told.arm, told.propensity) {
            push(
                html,
                format_args!(
                    "<br><small>arm {}, chosen with probability {propensity:.4}</small>",
                    escape(arm)
                ),
            );
        }
    }
    html.push_str("</tr>\n");
}

fn bar(share: f64, class: &str) -> String {
    let share = if share.is_finite() { 100.0 * share.clamp(0.0, 1.0) } else { 0.0 };
    format!("<span class=\"bar\"><i class=\"{class}\" style=\"width:{share:.0}%\"></i></span>")
}

fn push(html: &mut String, part: std::fmt::Arguments<'_>) {
    html.write_fmt(part).expect("a string takes any text");
}

/// Text between tags and in attributes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let evil = "<script>alert(\"x\")</script>&";
        assert_eq!(escape(evil), "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;");
        let mut html = String::new();
        let track = RecommendedTrack {
            track_id: crate::types::TrackId::new("t").expect("an id"),
            title: evil.to_owned(),
            artists: vec![evil.to_owned()],
            score: f64::NAN,
            sources: Vec::new(),
            explored: true,
            reason: evil.to_owned(),
            explanation: None,
        };
        write_track(&mut html, 1, &track, 1.0);
        assert!(!html.contains("<script") && html.matches("&lt;script").count() == 3, "{html}");
    }
}
