//! One picture of a run: a bar for each system in each workload, as a ratio to nginx. Shorter is cheaper. Plain SVG, that a page can show
//! without a script, on light and on dark.

use std::fmt::Write as _;

use crate::results::Results;

const LABEL: f64 = 330.0;
const BARS: f64 = 420.0;
const LINE: f64 = 14.0;
/// Longer bars are cut here, and their figure says by how much.
const MOST: f64 = 2.5;

/// Draws the workloads in which nginx took part.
pub(super) fn draw(results: &Results) -> String {
    let mut body = String::new();
    let mut y = 34.0;
    for measured in &results.workloads {
        let bars: Vec<(String, f64)> = measured
            .rows()
            .into_iter()
            .filter_map(|row| Some((row.system.clone(), row.ratios[0]?)))
            .collect();
        if bars.is_empty() {
            continue;
        }
        let _ = writeln!(
            body,
            r#"<text x="8" y="{:.0}" class="title">{}</text>"#,
            y + 11.0,
            escaped(&measured.title)
        );
        y += LINE + 3.0;
        for (system, ratio) in bars {
            let width = ratio.clamp(0.0, MOST) / MOST * BARS;
            let class = if system == "weir" { "weir" } else { "peer" };
            let _ = writeln!(
                body,
                r#"<text x="{:.0}" y="{:.0}" text-anchor="end">{}</text><rect class="{class}" x="{LABEL}" y="{:.0}" width="{width:.1}" height="{:.0}"/><text x="{:.0}" y="{:.0}">{ratio:.2}</text>"#,
                LABEL - 6.0,
                y + 10.0,
                escaped(&system),
                y,
                LINE - 3.0,
                LABEL + width + 5.0,
                y + 10.0
            );
            y += LINE;
        }
        y += 8.0;
    }
    let one = LABEL + BARS / MOST;
    let (width, height) = (LABEL + BARS + 60.0, y + 8.0);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" role="img" aria-label="Cost of each gateway as a ratio to nginx">
<style>text{{font:11px sans-serif;fill:#24292f}}.title{{font-weight:600}}.weir{{fill:#0a7ea4}}.peer{{fill:#a8b1bb}}line{{stroke:#57606a;stroke-dasharray:3 3}}rect.page{{fill:#fff}}</style>
<rect class="page" width="100%" height="100%"/>
<text x="8" y="18" class="title">CPU (memory for silent streams) as a ratio to nginx; shorter is cheaper</text>
<line x1="{one:.1}" x2="{one:.1}" y1="28" y2="{height:.0}"/>
{body}</svg>
"##
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{Measured, Sample},
        workloads::Unit,
    };

    /// Every element that opens closes, in order; attributes have their quotes.
    fn well_formed(svg: &str) -> bool {
        let mut open: Vec<&str> = Vec::new();
        for tag in svg.split('<').skip(1) {
            let Some((tag, _)) = tag.split_once('>') else {
                return false;
            };
            if tag.matches('"').count() % 2 == 1 {
                return false;
            }
            let name = tag
                .trim_start_matches('/')
                .split([' ', '/'])
                .next()
                .unwrap_or_default();
            if tag.starts_with('/') {
                if open.pop() != Some(name) {
                    return false;
                }
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        open.is_empty()
    }

    #[test]
    fn is_well_formed_whatever_the_names_and_figures() {
        let sample = |system: &str, cpu_ns| Sample {
            system: system.into(),
            seconds: 1.0,
            done: 1,
            cpu_ns: Some(cpu_ns),
            ..Sample::default()
        };
        let results = Results {
            workloads: vec![Measured {
                name: "w".into(),
                title: "more than 1 & <less>".into(),
                unit: Unit::Request,
                clients: 1,
                duet: true,
                shared: true,
                samples: vec![sample("weir", 1), sample("nginx", 2), sample("caddy", 900)],
            }],
            ..Results::default()
        };
        let svg = draw(&results);
        assert!(well_formed(&svg), "{svg}");
        assert!(svg.contains(">0.50<") && svg.contains(">450.00<"), "{svg}");
        // A bar never leaves the picture.
        assert!(svg.contains(r#"width="420.0""#), "{svg}");
        assert!(!well_formed("<a><b></a>") && !well_formed("<a x=\"1></a>"));
    }
}
