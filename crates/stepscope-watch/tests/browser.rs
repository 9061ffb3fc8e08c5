//! The live page in a real browser. Skipped where there is no Chromium with its driver.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message, also in what its functions call")]

mod common;

use std::time::{Duration, Instant};

use common::webdriver::Browser;
use common::{Runs, append, options, serve, synthetic};
use stepscope_watch::Options;

const PATIENCE: Duration = Duration::from_secs(20);
const HOSTILE: &str = "<script>window.pwned=1</script><img src=x onerror=\"window.pwned=2\">";

/// All panels are drawn.
const DRAWN: &str = "document.documentElement.dataset.panels > 0 && document.documentElement.dataset.panelsDrawn === document.documentElement.dataset.panels";
const UP_TO_DATE: &str = "document.getElementById('live').textContent === 'up to date'";

/// The last reading that a panel's list shows.
fn shown(panel: &str) -> String {
    format!("document.querySelector('[data-name=\"{panel}\"] .value').textContent")
}

/// Expectation and cost of a browser are shared by the tests: starting one takes seconds.
#[test]
fn the_live_page_in_a_browser() {
    let Some(browser) = Browser::start() else { return println!("skipped: no chromium with chromedriver") };
    curves_are_drawn_and_can_be_read_with_mouse_and_keyboard(&browser);
    let quickest = a_new_reading_arrives_within_a_second_and_leaves_zoom_and_choice_alone(&browser);
    println!("a reading was on the page {quickest:?} after it was written");
    the_page_survives_a_restart_of_the_server(&browser);
    a_hostile_name_is_text_also_when_it_arrives_late(&browser);
    seeds_are_pooled_and_an_explosion_is_cut_until_asked_for(&browser);
}

fn curves_are_drawn_and_can_be_read_with_mouse_and_keyboard(browser: &Browser) {
    let runs = Runs::new();
    for (index, (manifest, records)) in synthetic::quickstart().into_iter().enumerate() {
        append(&runs.begin(&format!("run-{index}"), &manifest), &records);
    }
    browser.open(&serve(options(&runs)));
    browser.wait(DRAWN, PATIENCE);
    browser.wait(UP_TO_DATE, PATIENCE);
    // A canvas with nothing on it is transparent everywhere.
    let inked = "[...document.querySelectorAll('canvas')].every((canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte))";
    assert_eq!(browser.value(inked), true);

    let place = "document.querySelector('[data-name=\"train/loss\"] .where').textContent";
    assert_eq!(browser.text(place), "last readings");
    let [left, top, width, height] = browser.place("[data-name='train/loss'] .u-over");
    let middle = (left + 0.5 * width, top + 0.5 * height);
    browser.mouse(&[(left + 10.0, top + 10.0), middle], false);
    browser.wait(&format!("/^step 7[45]\\d$/.test({place})"), PATIENCE);
    let dots = "[...document.querySelectorAll('[data-name=\"train/loss\"] .dot')].filter((dot) => !dot.hidden).length";
    assert_eq!(browser.value(dots), 4, "three runs that came so far, and a prediction");
    // The cursor is shared: the next panel reads where it has a reading.
    browser.wait("document.querySelector('[data-name=\"test/loss\"] .where').textContent === 'step 750'", PATIENCE);

    let reset =
        "[...document.querySelectorAll('.toolbar .tool')].find((button) => button.textContent === 'reset zoom')";
    assert_eq!(browser.value(&format!("{reset}.disabled")), true);
    browser.mouse(&[(left + 0.25 * width, middle.1), middle], true);
    browser.wait(&format!("!{reset}.disabled"), PATIENCE);
    browser.value(&format!("{reset}.click()"));
    assert_eq!(browser.value(&format!("{reset}.disabled")), true);

    browser.mouse(&[(left - 30.0, top - 30.0)], false);
    browser.value("document.querySelector('[data-name=\"train/loss\"] .plot').focus()");
    browser.key('\u{E012}');
    browser.wait(&format!("{place} === 'step 1500'"), PATIENCE);
    browser.key('\u{E012}');
    browser.wait(&format!("{place} !== 'step 1500' && {place}.startsWith('step ')"), PATIENCE);
    browser.key('\u{E00C}');
    browser.wait(&format!("{place} === 'last readings'"), PATIENCE);

    browser.value("document.querySelector('input[type=search]').focus()");
    "noise".chars().for_each(|key| browser.key(key));
    browser
        .wait("[...document.querySelectorAll('.panel')].filter((panel) => panel.offsetParent).length === 2", PATIENCE);
    assert_eq!(browser.errors(), [""; 0]);
}

fn a_new_reading_arrives_within_a_second_and_leaves_zoom_and_choice_alone(browser: &Browser) -> Duration {
    let runs = Runs::new();
    let records = runs.begin("run", &synthetic::manifest("growing", 0.1));
    append(&records, &(0..40).map(|step| synthetic::loss(step, 4.0 - 0.05 * step as f64)).collect::<Vec<_>>());
    browser.open(&serve(options(&runs)));
    browser.wait(UP_TO_DATE, PATIENCE);
    let [left, top, width, height] = browser.place("[data-name='train/loss'] .u-over");
    let middle = top + 0.5 * height;
    browser.mouse(&[(left + 0.25 * width, middle), (left + 0.5 * width, middle)], true);
    browser.mouse(&[(left - 30.0, top - 30.0)], false);
    let log = "[...document.querySelectorAll('[data-name=\"train/loss\"] .tool')].find((button) => button.textContent === 'log y')";
    browser.value(&format!("{log}.click()"));
    // The quickest of several: what else runs on the machine is not the page's doing.
    let mut quickest = Duration::MAX;
    for round in 0..6u32 {
        let loss = 1.0 / f64::from(round + 3);
        let begun = Instant::now();
        append(&records, &[synthetic::loss(u64::from(40 + round), loss)]);
        let text = stepscope_report::number::with_error(loss, 0.01);
        browser.wait(&format!("{} === '{text} nat'", shown("train/loss")), PATIENCE);
        quickest = quickest.min(begun.elapsed());
    }
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
    assert_eq!(browser.text(&format!("{log}.getAttribute('aria-pressed')")), "true");
    assert_eq!(
        browser.value(
            "[...document.querySelectorAll('.toolbar .tool')].find((b) => b.textContent === 'reset zoom').disabled"
        ),
        false
    );
    assert_eq!(browser.errors(), [""; 0]);
    quickest
}

fn the_page_survives_a_restart_of_the_server(browser: &Browser) {
    let runs = Runs::new();
    let records = runs.begin("run", &synthetic::manifest("lasting", 0.1));
    append(&records, &(0..9).map(|step| synthetic::loss(step, 1.0)).collect::<Vec<_>>());
    // A process of its own could be killed; here the same address stops being this server's instead.
    let token = Some("a-token-that-lasts".to_owned());
    let listen = Some(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    let relay = Relay::start();
    let first = serve(Options { listen, token: token.clone(), ..options(&runs) });
    relay.lead_to(&first);
    browser.open(&format!("{}?token=a-token-that-lasts", relay.url));
    browser.wait(UP_TO_DATE, PATIENCE);
    assert!(!browser.text("location.href").contains("token"), "the token leaves the address");
    relay.cut();
    browser.wait("document.getElementById('live').className === 'waiting'", PATIENCE);
    append(&records, &[synthetic::loss(9, 0.25)]);
    relay.lead_to(&serve(Options { listen, token, ..options(&runs) }));
    browser.wait(&format!("{} === '0.250 ± 0.010 nat'", shown("train/loss")), PATIENCE);
    browser.wait(UP_TO_DATE, PATIENCE);
    // While the server was away the browser said so in its console, as it should.
    assert!(browser.errors().iter().all(|error| error.contains("net::ERR")), "{:?}", browser.errors());
}

fn a_hostile_name_is_text_also_when_it_arrives_late(browser: &Browser) {
    let runs = Runs::new();
    let records = runs.begin("first", &synthetic::manifest("first", 0.2));
    append(&records, &(0..9).map(|step| synthetic::loss(step, 1.0)).collect::<Vec<_>>());
    browser.open(&serve(options(&runs)));
    browser.wait(UP_TO_DATE, PATIENCE);
    let records = runs.begin("hostile", &synthetic::manifest(HOSTILE, 0.1));
    let hostile = (0..9).map(|step| {
        let mut record = synthetic::loss(step, 1.0);
        if let stepscope_types::Record::Measurement(measurement) = &mut record {
            measurement.name = format!("{HOSTILE}/{HOSTILE}");
            measurement.unit = HOSTILE.to_owned();
        }
        record
    });
    append(&records, &hostile.collect::<Vec<_>>());
    browser.wait("document.querySelectorAll('.panel').length === 2", PATIENCE);
    browser.wait(DRAWN, PATIENCE);
    assert_eq!(browser.value("window.pwned ?? null"), serde_json::Value::Null);
    assert_eq!(browser.value("document.querySelectorAll('img').length"), 0);
    assert!(browser.text("document.body.innerText").contains(HOSTILE), "the name is shown as it is");
    assert_eq!(browser.errors(), [""; 0]);
}

fn seeds_are_pooled_and_an_explosion_is_cut_until_asked_for(browser: &Browser) {
    let runs = Runs::new();
    let fall = |seed: u64, step: u64| (2.3 + 0.1 * seed as f64) / (step + 1) as f64;
    for seed in 0..3 {
        let mut manifest = synthetic::manifest(&format!("calm-{seed}"), 0.1);
        manifest.spec.seeds = stepscope_types::Seeds::from_root(seed);
        let records: Vec<_> = (0..30).map(|step| synthetic::loss(step, fall(seed, step))).collect();
        append(&runs.begin(&format!("calm-{seed}"), &manifest), &records);
    }
    let exploding: Vec<_> = (0..12).map(|step| synthetic::loss(step, 2.3 * (4.0 * step as f64).exp())).collect();
    append(&runs.begin("exploding", &synthetic::manifest("exploding", 3.0)), &exploding);
    browser.open(&serve(options(&runs)));
    browser.wait(UP_TO_DATE, PATIENCE);
    let names = "[...document.querySelectorAll('[data-name=\"train/loss\"] .curves .name')].map((name) => name.textContent).join(', ')";
    assert_eq!(browser.text(names), "calm (3 seeds), exploding");
    assert_eq!(browser.text(&shown("train/loss")), "0.0800 (0.0767 to 0.0833) nat", "the median and the range");
    let press = |text: &str| {
        browser.value(&format!(
            "[...document.querySelectorAll('.tool')].find((b) => b.textContent.includes('{text}')).click()"
        ))
    };
    let height =
        "document.querySelector('[data-name=\"train/loss\"] canvas').getContext('2d').canvas.toDataURL().length";
    let cut = browser.value(height);
    press("values beyond: show");
    assert!(
        browser
            .text("document.querySelector('[data-name=\"train/loss\"] .tools').textContent")
            .contains("cut off outliers")
    );
    assert_ne!(browser.value(height), cut, "the picture changes");
    press("pool seeds");
    assert_eq!(browser.text(names), "calm-0, calm-1, calm-2, exploding");
    assert_eq!(browser.errors(), [""; 0]);
}

/// An address that leads to one server after another, or to none.
struct Relay {
    url: String,
    target: std::sync::Arc<std::sync::Mutex<(Option<String>, Vec<std::net::TcpStream>)>>,
}

impl Relay {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let target = std::sync::Arc::<std::sync::Mutex<(Option<String>, Vec<_>)>>::default();
        let shared = std::sync::Arc::clone(&target);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut shared = shared.lock().unwrap();
                let Some(server) = shared.0.as_ref().and_then(|address| std::net::TcpStream::connect(address).ok())
                else {
                    continue;
                };
                for (from, to) in [(&stream, &server), (&server, &stream)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                }
                shared.1.extend([stream, server]);
            }
        });
        Self { url, target }
    }

    fn lead_to(&self, url: &str) {
        let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
        self.target.lock().unwrap().0 = Some(address.to_owned());
    }

    fn cut(&self) {
        let mut target = self.target.lock().unwrap();
        target.0 = None;
        target.1.drain(..).for_each(|stream| drop(stream.shutdown(std::net::Shutdown::Both)));
    }
}
