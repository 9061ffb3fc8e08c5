//! A browser under the control of a test: the WebDriver protocol over plain HTTP.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A headless Chromium and its driver; both end with it.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    _profile: tempfile::TempDir,
}

/// A program on the path.
fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file())
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Value {
    let mut response = response.unwrap();
    let value: Value = response.body_mut().read_json().unwrap();
    assert!(value["value"]["error"].is_null(), "{value}");
    value["value"].clone()
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
}

impl Browser {
    /// Starts the browser; `None` where there is no Chromium or no driver.
    pub(crate) fn start() -> Option<Self> {
        let driver = program(&["chromedriver"])?;
        let chromium = program(&["chromium", "chromium-browser", "google-chrome"])?;
        let profile = tempfile::tempdir().unwrap();
        let mut driver =
            Command::new(driver).arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            Some(line.unwrap().split_once("started successfully on port ")?.1.trim_end_matches('.').to_owned())
        });
        let server = format!("http://127.0.0.1:{}/session", port.unwrap());
        // Someone has to read what the driver goes on to say.
        std::thread::spawn(move || lines.for_each(drop));
        let data = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--window-size=1280,1600",
            &data,
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = answer(agent().post(&server).send_json(wanted));
        let session = format!("{server}/{}", session["sessionId"].as_str().unwrap());
        Some(Self { driver, session, _profile: profile })
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        answer(agent().post(format!("{}/{command}", self.session)).send_json(body))
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.post("execute/sync", &json!({ "script": format!("return {expression};"), "args": [] }))
    }

    /// The text of an expression in the page.
    pub(crate) fn text(&self, expression: &str) -> String {
        let value = self.value(expression);
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }

    /// Waits until an expression is true; the answer is how long that took.
    pub(crate) fn wait(&self, expression: &str, most: Duration) -> Duration {
        let begun = Instant::now();
        while self.value(expression) != Value::Bool(true) {
            assert!(begun.elapsed() < most, "still not after {most:?}: {expression}; errors: {:?}", self.errors());
            std::thread::sleep(Duration::from_millis(20));
        }
        begun.elapsed()
    }

    /// Moves the mouse along these places of the window, with the button held or not.
    pub(crate) fn mouse(&self, places: &[(f64, f64)], held: bool) {
        let go = |&(x, y): &(f64, f64)| json!({ "type": "pointerMove", "duration": 30, "x": x as i64, "y": y as i64 });
        let mut actions: Vec<Value> = vec![go(&places[0])];
        if held {
            actions.push(json!({ "type": "pointerDown", "button": 0 }));
        }
        actions.extend(places[1..].iter().map(go));
        if held {
            actions.push(json!({ "type": "pointerUp", "button": 0 }));
        }
        let mouse =
            json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": actions });
        self.post("actions", &json!({ "actions": [mouse] }));
    }

    /// Presses a key: a character, or one of WebDriver's private code points.
    pub(crate) fn key(&self, key: char) {
        let actions = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.post("actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// Left, top, width and height in the window of the first element of a selector, scrolled into view.
    pub(crate) fn place(&self, selector: &str) -> [f64; 4] {
        let script = format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center', behavior: 'instant' }});
               const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; }})()"
        );
        let place = self.value(&script);
        [0, 1, 2, 3].map(|index| place[index].as_f64().unwrap())
    }

    /// What the console calls severe since the last time it was asked, and the page's own count of errors.
    pub(crate) fn errors(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({ "type": "browser" }));
        let severe = log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        let mut errors: Vec<String> = severe.map(|entry| entry["message"].to_string()).collect();
        let count = self.text("document.documentElement.dataset.errors");
        if count != "0" {
            errors.push(format!("{count}: {}", self.text("document.documentElement.dataset.lastError")));
        }
        errors
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser first, through its driver; the driver then has nothing left to keep.
        let _ = agent().delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
