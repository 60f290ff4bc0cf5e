//! What users ask about, and the question that is made of it.

use std::sync::{Arc, LazyLock};

use egret_lookup::known::Table;
use egret_lookup::{Catalogue, Kind, Protocol, Service, Step, Steps, Target};

use super::{Meter, Reader, assert_one_line};

/// The longest target in its one form, a path, in bytes. Percent-encoding makes three of one.
const TARGET_MAX: usize = 3 * 4_096;
/// The longest error, in bytes: what was typed is clipped to 60 characters of up to 10 each.
const ERROR_MAX: usize = 1_024;
/// Longer than any template of [`CATALOGUE`] with its line end, in bytes.
const TEMPLATE_MAX: usize = 64;

/// A service of every sort that a plan tells apart.
static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let whois = |id: &str, zones: &[&str], template: &str, charset: &str| {
        let service = Service::new(id, Protocol::Whois)?.with_zones(zones)?;
        service.with_template(template)?.with_charset(charset)
    };
    let services = vec![
        whois("whois.com.test", &["com"], "domain {q}", "auto"),
        whois("whois.uk.test", &["co.uk", "uk.com"], "{q}", "iso-8859-1"),
        whois("whois.jp.test", &["jp"], "{q}/e", "iso-2022-jp"),
        whois("whois.cn.test", &["cn", "xn--fiqs8s"], "{q}", "gb18030"),
        whois("whois.any.test", &[], "-T dn {q} # {q}", "auto"),
        Service::new("api.test", Protocol::Http),
        Service::new("rdap.test", Protocol::Rdap),
    ];
    let services = services.into_iter().collect::<Result<_, _>>();
    services.and_then(Catalogue::new).expect("its keys are constants")
});

/// Whom the world asks, where nobody is configured.
static WORLD: LazyLock<Catalogue> = LazyLock::new(|| {
    Catalogue::with_table(Vec::new(), Some(Arc::clone(Table::embedded()))).expect("there are no services")
});

/// Text as a target of every kind, and as the name of a service.
pub struct Targets;

impl Reader for Targets {
    const WARM: &'static [&'static str] =
        &["https://www.Bücher.example.co.uk/a", "192.0.2.1/24", "AS64496", "/path?query", "whois.con.test"];

    fn check(data: &[u8], meter: &impl Meter) {
        let input = &*String::from_utf8_lossy(data);
        for kind in Kind::ALL {
            // The parser takes what it gave: one form, and no way to say more than one line.
            match meter.run(input.len(), || Target::parse(kind, input)) {
                Ok(target) => assert_target(kind, &target),
                Err(error) => assert_one_line("the error", &error.to_string(), ERROR_MAX),
            }
            // One service a time is named, or all of them would be asked about every input.
            let named = &CATALOGUE.services()[input.len() % CATALOGUE.services().len()];
            let services = [(None, false), (None, true), (Some(input), false), (Some(named.id()), true)];
            for (service, exact) in services {
                match meter.run(input.len(), || CATALOGUE.plan(kind, input, service, exact)) {
                    Ok(steps) => assert_steps(&steps),
                    Err(error) => assert_one_line("the error", &error.to_string(), ERROR_MAX),
                }
            }
            match meter.run(input.len(), || WORLD.plan(kind, input, None, false)) {
                Ok(steps) => assert_steps(&steps),
                Err(error) => assert_one_line("the error", &error.to_string(), ERROR_MAX),
            }
        }
    }
}

fn assert_target(kind: Kind, target: &Target) {
    assert_one_line("the target", target.as_str(), TARGET_MAX);
    assert_eq!(Target::parse(kind, target.as_str()).as_ref(), Ok(target), "{kind} has two forms");
    for zone in [0, 2, 5, target.as_str().len(), usize::MAX] {
        let cut = target.clone().registrable(zone);
        let labels = target.as_str().strip_suffix(cut.as_str()).expect("a name is cut at its front");
        assert!(labels.is_empty() || labels.ends_with('.') && target.is_host(), "{cut:?} of {target:?}");
        assert_eq!(cut.clone().registrable(zone), cut, "{target:?} is cut again, for a zone of {zone}");
    }
}

fn assert_steps(steps: &Steps) {
    [Some(&steps.first), steps.next.as_ref()].into_iter().flatten().for_each(assert_step);
}

fn assert_step(step: &Step) {
    assert_one_line("the target", &step.target, TARGET_MAX);
    let is_path = step.question.starts_with(b"/") && !step.question.ends_with(b"\r\n");
    let line = if is_path { Some(step.question.as_slice()) } else { step.question.strip_suffix(b"\r\n") };
    let line = line.expect("a question over whois ends its line");
    assert!(!line.iter().any(u8::is_ascii_control), "the question is more than a line: {line:?}");
    // The template may hold its place twice, and a charset may write a character in four bytes.
    assert!(line.len() <= step.target.len() * 4 + TEMPLATE_MAX, "{} bytes are asked", line.len());
}
