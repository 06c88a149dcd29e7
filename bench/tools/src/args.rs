//! Command-line options of the form `--name value`. A name may repeat; an unknown one is an error.

pub struct Args(Vec<(String, String)>);

impl Args {
    /// Reads the process arguments; `known` lists every accepted name without its dashes.
    pub fn read(known: &[&str]) -> Result<Args, String> {
        let mut pairs = Vec::new();
        let mut rest = std::env::args().skip(1);
        while let Some(flag) = rest.next() {
            let name = flag.strip_prefix("--").filter(|name| known.contains(name));
            let name = name.ok_or_else(|| format!("unknown option {flag}; known: {known:?}"))?;
            let value = rest.next().ok_or_else(|| format!("{flag} needs a value"))?;
            pairs.push((name.to_string(), value));
        }
        Ok(Args(pairs))
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.all(name).next().unwrap_or(default)
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T, String> {
        match self.all(name).next() {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| format!("--{name} {text}: not a number")),
        }
    }
}
