//! Settings written as `name=value,name=value`: power laws and tails of spectra.

use stepscope_theory::PowerLaw;

use super::error::SourceError;

/// What is known of the whole of a spectrum whose head was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tail {
    /// Tr H of the whole spectrum.
    pub trace: f64,
    /// Initial loss of the whole spectrum.
    pub initial_loss: f64,
    /// Modes of the whole spectrum.
    pub num_modes: u64,
}

/// Splits `a=1,b=2` into names and numbers.
///
/// # Errors
/// [`SourceError::Literal`] for a piece that is no assignment of a number, an unknown or repeated name.
pub fn parse_assignments<'a>(text: &str, names: &[&'a str]) -> Result<Vec<(&'a str, f64)>, SourceError> {
    let mut found: Vec<(&str, f64)> = Vec::new();
    for piece in text.split(',') {
        let known = || format!("name=number with one of the names {}", names.join(", "));
        let (name, value) = piece
            .split_once('=')
            .ok_or_else(|| SourceError::literal(piece, known(), "write them like nu=1.5,kappa=3, without spaces"))?;
        let name = names
            .iter()
            .find(|known| **known == name.trim())
            .ok_or_else(|| SourceError::literal(name.trim(), known(), "rename or remove it"))?;
        let value = value
            .trim()
            .parse::<f64>()
            .map_err(|_| SourceError::literal(value, format!("a number for {name}"), "write it like 0.25 or 2.5e-1"))?;
        if found.iter().any(|(earlier, _)| earlier == name) {
            return Err(SourceError::literal(piece, format!("{name} once"), "remove one of the two"));
        }
        found.push((name, value));
    }
    Ok(found)
}

fn needed(found: &[(&str, f64)], name: &str, text: &str, example: &str) -> Result<f64, SourceError> {
    let value = found.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    value.ok_or_else(|| SourceError::literal(text, format!("also {name}"), format!("write it like {example}")))
}

/// Reads `nu=1.5,kappa=3,modes=1000[,scale=1]`: λ_k = scale · k^−nu, Σ_{l≥k} λ_l C_l ~ k^−kappa; `modes=inf` is endless.
///
/// ```
/// let law = stepscope::predict::parse_power_law("nu=1.5,kappa=3,modes=1000")?;
/// assert_eq!((law.eigenvalue_exponent, law.decay_exponent(), law.modes), (1.5, 2.0, 1000.0));
/// # Ok::<(), stepscope::predict::SourceError>(())
/// ```
///
/// # Errors
/// [`SourceError::Literal`] for unknown, missing or repeated names and numbers out of range.
pub fn parse_power_law(text: &str) -> Result<PowerLaw, SourceError> {
    let example = "nu=1.5,kappa=3,modes=1000";
    let found = parse_assignments(text, &["nu", "kappa", "modes", "scale"])?;
    let [nu, kappa, modes] = ["nu", "kappa", "modes"].map(|name| needed(&found, name, text, example));
    let (nu, kappa, modes) = (nu?, kappa?, modes?);
    let scale = needed(&found, "scale", text, example).unwrap_or(1.0);
    let refuse = |expected: String| SourceError::literal(text, expected, format!("write it like {example}"));
    if modes.is_finite() && modes.fract() != 0.0 {
        return Err(refuse("a whole number of modes".to_owned()));
    }
    if !(scale.is_finite() && scale > 0.0) {
        return Err(refuse("a finite scale above 0".to_owned()));
    }
    if modes.is_infinite() && nu <= 1.0 {
        return Err(refuse("a finite number of modes where nu is at most 1: the trace is infinite".to_owned()));
    }
    let mut law = PowerLaw::new(nu, kappa, modes).map_err(|error| refuse(error.to_string()))?;
    law.eigenvalue_scale = scale;
    Ok(law)
}

/// Reads `trace=12.5,loss=0.4,modes=400`: the sums of a whole spectrum of which a file holds the head.
///
/// # Errors
/// [`SourceError::Literal`] as [`parse_power_law`].
pub fn parse_tail(text: &str) -> Result<Tail, SourceError> {
    let example = "trace=12.5,loss=0.4,modes=400";
    let found = parse_assignments(text, &["trace", "loss", "modes"])?;
    let [trace, initial_loss, modes] = ["trace", "loss", "modes"].map(|name| needed(&found, name, text, example));
    let (trace, initial_loss, modes) = (trace?, initial_loss?, modes?);
    if modes.fract() != 0.0 || !(1.0..1e15).contains(&modes) {
        return Err(SourceError::literal(text, "a whole number of modes", format!("write it like {example}")));
    }
    Ok(Tail { trace, initial_loss, num_modes: modes as u64 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_stand_in_any_order_and_the_scale_may_be_left_out() {
        let law = parse_power_law("modes=10,scale=0.5,kappa=1,nu=2").unwrap();
        assert_eq!((law.eigenvalue_scale, law.eigenvalue_exponent, law.target_exponent), (0.5, 2.0, 1.0));
        assert_eq!(parse_power_law("nu=2,kappa=1,modes=inf").unwrap().modes, f64::INFINITY);
        let tail = parse_tail("trace=2,loss=1,modes=7").unwrap();
        assert_eq!(tail, Tail { trace: 2.0, initial_loss: 1.0, num_modes: 7 });
    }

    #[test]
    fn mistakes_are_refused_by_the_piece_that_is_wrong() {
        for (text, words) in [
            ("", "name=number"),
            ("nu=1.5", "kappa"),
            ("nu=1.5,kappa=3", "modes"),
            ("nu=x,kappa=3,modes=10", "a number for nu"),
            ("mu=1.5,kappa=3,modes=10", "\"mu\""),
            ("nu=1.5,nu=2,kappa=3,modes=10", "nu once"),
            ("nu=0,kappa=3,modes=10", "eigenvalue exponent"),
            ("nu=NaN,kappa=3,modes=10", "eigenvalue exponent"),
            ("nu=1.5,kappa=-1,modes=10", "target exponent"),
            ("nu=1.5,kappa=3,modes=0", "number of modes"),
            ("nu=1.5,kappa=3,modes=2.5", "whole number"),
            ("nu=1.5,kappa=3,modes=NaN", "number of modes"),
            ("nu=0.9,kappa=3,modes=inf", "finite number of modes"),
            ("nu=1.5,kappa=3,modes=10,scale=0", "scale"),
        ] {
            let message = parse_power_law(text).unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
        assert!(parse_tail("trace=1,loss=1,modes=1.5").is_err());
        assert!(parse_tail("trace=1,modes=3").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,60}", pieces in "[a-z=,.0-9einf\\-]{0,60}") {
            let _ = (parse_power_law(&text), parse_power_law(&pieces), parse_tail(&pieces));
        }
    }
}
