//! The header of a `.npy` file: a Python dictionary with `descr`, `fortran_order` and `shape`.

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// NumPy's name of the type, `<f8`.
    pub(super) descr: String,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

/// Reads the dictionary.
///
/// # Errors
/// What was expected where it went wrong.
pub(super) fn parse(text: &str) -> Result<Header, String> {
    let mut scanner = Scanner { rest: text };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    scanner.take('{')?;
    while !scanner.takes('}') {
        let key = scanner.string()?;
        scanner.take(':')?;
        match key {
            "descr" => descr = Some(scanner.descr()?),
            "fortran_order" => fortran_order = Some(scanner.boolean()?),
            "shape" => shape = Some(scanner.tuple()?),
            _ => return Err(format!("no key {key:?}")),
        }
        if !scanner.takes(',') {
            scanner.take('}')?;
            break;
        }
    }
    if !scanner.rest.trim().is_empty() {
        return Err("nothing behind the dictionary".to_owned());
    }
    let missing = |key: &str| format!("the key {key:?}");
    Ok(Header {
        descr: descr.ok_or_else(|| missing("descr"))?,
        fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
        shape: shape.ok_or_else(|| missing("shape"))?,
    })
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn takes(&mut self, wanted: char) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take(&mut self, wanted: char) -> Result<(), String> {
        if self.takes(wanted) { Ok(()) } else { Err(format!("{wanted:?}")) }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let rest = self.rest.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or("a string")?;
        let (inside, rest) = rest[1..].split_once(quote).ok_or("the end of a string")?;
        self.rest = rest;
        Ok(inside)
    }

    /// A type's name; a list of fields is no name and is shown as `[...]`.
    fn descr(&mut self) -> Result<String, String> {
        if !self.rest.trim_start().starts_with('[') {
            return self.string().map(str::to_owned);
        }
        // Fields may hold tuples and lists themselves; the header's other keys do not matter any more.
        self.rest = ", 'fortran_order': False, 'shape': ()}";
        Ok("[...]".to_owned())
    }

    fn boolean(&mut self) -> Result<bool, String> {
        let rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err("True or False".to_owned())
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        let mut numbers = Vec::new();
        self.take('(')?;
        while !self.takes(')') {
            let rest = self.rest.trim_start();
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            numbers.push(rest[..end].parse().map_err(|_| "a length".to_owned())?);
            // Python 2 wrote long integers with an L.
            self.rest = rest[end..].strip_prefix('L').unwrap_or(&rest[end..]);
            if !self.takes(',') {
                self.take(')')?;
                break;
            }
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_numpy_writes_them_are_understood() {
        let header = parse("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }      \n").unwrap();
        assert_eq!(header, Header { descr: "<f8".to_owned(), fortran_order: false, shape: vec![3, 4] });
        assert_eq!(parse("{'shape': (7,), 'fortran_order': True, 'descr': '>f4'}").unwrap().shape, [7]);
        assert_eq!(parse("{'descr': '<f8', 'fortran_order': False, 'shape': ()}").unwrap().shape, [0; 0]);
        assert_eq!(parse("{'descr': '<f8', 'fortran_order': False, 'shape': (3L, 4L)}").unwrap().shape, [3, 4]);
        let fields = "{'descr': [('a', '<f8', (2,)), ('b', '<i4')], 'fortran_order': False, 'shape': (3,)}";
        assert_eq!(parse(fields).unwrap().descr, "[...]");
    }

    #[test]
    fn headers_with_mistakes_are_refused_with_what_was_expected() {
        for (text, expected) in [
            ("", "'{'"),
            ("{'descr': '<f8'", "'}'"),
            ("{'descr': '<f8'}", "fortran_order"),
            ("{'descr': 8}", "a string"),
            ("{'descr': '<f8}", "end of a string"),
            ("{'fortran_order': 1}", "True or False"),
            ("{'shape': (3, x)}", "a length"),
            ("{'shape': (99999999999999999999999,)}", "a length"),
            ("{'order': 1}", "no key"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
