//! `LogQL`'s stream selectors and line filters: what `match` understands of the language.

use crate::draft::Draft;
use crate::error::Fault;
use crate::pattern::Pattern;

/// A selector with its line filters.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    matchers: Vec<(Box<str>, Test, Polarity)>,
    filters: Vec<(Test, Polarity)>,
}

#[derive(Clone, Debug)]
enum Test {
    /// A label equals it, a line contains it.
    Text(Box<str>),
    Pattern(Pattern),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Polarity {
    Is,
    IsNot,
}

impl Selector {
    /// Reads a selector such as `{job="nginx", level=~"warn|error"} |= "timeout"`.
    pub(crate) fn new(text: &str) -> Result<Self, Fault> {
        let mut parser = Parser { text, rest: text };
        let matchers = parser.matchers()?;
        let mut filters = Vec::new();
        while !parser.rest.is_empty() {
            filters.push(parser.filter()?);
        }
        Ok(Self { matchers, filters })
    }

    /// Returns whether labels and line of a draft are what the selector asks for.
    pub(crate) fn chooses(&self, draft: &Draft<'_>) -> bool {
        let labels_fit = self.matchers.iter().all(|(name, test, polarity)| {
            // A label that is missing has the empty value.
            let value = draft.label(name).unwrap_or_default();
            let holds = match test {
                Test::Text(text) => value == &**text,
                Test::Pattern(pattern) => pattern.is_match(value.as_bytes()),
            };
            holds == (*polarity == Polarity::Is)
        });
        labels_fit
            && self.filters.iter().all(|(test, polarity)| {
                let line = draft.line_bytes();
                let holds = match test {
                    Test::Text(text) => memchr::memmem::find(line, text.as_bytes()).is_some(),
                    Test::Pattern(pattern) => pattern.is_match(line),
                };
                holds == (*polarity == Polarity::Is)
            })
    }
}

struct Parser<'t> {
    text: &'t str,
    rest: &'t str,
}

impl Parser<'_> {
    fn fault(&self, problem: &str) -> Fault {
        let column = self.text.len() - self.rest.len() + 1;
        Fault::new(
            format!(
                "`{}` is no selector: {problem} at column {column}",
                self.text
            ),
            "write labels and line filters alone, as in `{job=\"nginx\"} |= \"error\"`",
        )
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        let after = self.rest.strip_prefix(token);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn matchers(&mut self) -> Result<Vec<(Box<str>, Test, Polarity)>, Fault> {
        if !self.take("{") {
            return Err(self.fault("a `{` is missing"));
        }
        let mut matchers = Vec::new();
        loop {
            matchers.push(self.matcher()?);
            if self.take("}") {
                break;
            }
            if !self.take(",") {
                return Err(self.fault("a `,` or `}` is missing"));
            }
        }
        self.skip_space();
        Ok(matchers)
    }

    fn matcher(&mut self) -> Result<(Box<str>, Test, Polarity), Fault> {
        self.skip_space();
        let len = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let (name, after) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        if !crate::interner::is_label_name(name) {
            return Err(self.fault("the name of a label is missing"));
        }
        self.rest = after;
        let (is_pattern, polarity) = if self.take("=~") {
            (true, Polarity::Is)
        } else if self.take("!~") {
            (true, Polarity::IsNot)
        } else if self.take("!=") {
            (false, Polarity::IsNot)
        } else if self.take("=") {
            (false, Polarity::Is)
        } else {
            return Err(self.fault("one of `=`, `!=`, `=~`, `!~` is missing"));
        };
        let operand = self.string()?;
        let test = if is_pattern {
            // Of labels the whole value must match.
            Test::Pattern(Pattern::new(&format!("^(?s:{operand})$"))?)
        } else {
            Test::Text(operand.into())
        };
        Ok((name.into(), test, polarity))
    }

    fn filter(&mut self) -> Result<(Test, Polarity), Fault> {
        let (is_pattern, polarity) = if self.take("|=") {
            (false, Polarity::Is)
        } else if self.take("!=") {
            (false, Polarity::IsNot)
        } else if self.take("|~") {
            (true, Polarity::Is)
        } else if self.take("!~") {
            (true, Polarity::IsNot)
        } else {
            return Err(self.fault("only the line filters `|=`, `!=`, `|~`, `!~` may follow"));
        };
        let operand = self.string()?;
        self.skip_space();
        let test = if is_pattern {
            Test::Pattern(Pattern::new(&operand)?)
        } else {
            Test::Text(operand.into())
        };
        Ok((test, polarity))
    }

    fn string(&mut self) -> Result<String, Fault> {
        self.skip_space();
        let Some((text, rest)) = crate::go::quoted::read(self.rest) else {
            return Err(self.fault("a text in quotes is missing"));
        };
        self.rest = rest;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_match_cannot_do_is_refused_with_its_column() {
        let bad = [
            "",
            "{",
            "{}",
            "foo",
            "{foo}",
            "{foo=}",
            "{foo=\"bar\"",
            "{foo=\"bar\",}",
            "{foo=\"bar\"} |",
            "{foo=\"bar\"} |= foo",
            "{foo=\"bar\"} |= \"foo\" | status >= 200",
            "{foo=\"bar\"} | json",
            "{foo=\"bar\"} !~ \"[]\"",
            "{foo=~\"(\"}",
            "{foo=\"a}",
        ];
        for text in bad {
            assert!(Selector::new(text).is_err(), "{text}");
        }
        let fault = Selector::new("{foo=\"bar\"} | json").unwrap_err();
        assert!(fault.problem.ends_with("at column 13"), "{}", fault.problem);
    }

    #[test]
    fn selectors_with_every_operator_are_read() {
        let text = r#" { a = "x" , b!="y", c=~"z+", d !~ `w|\d` } |= "1" != "2" |~ "3" !~ "4" "#;
        let selector = Selector::new(text).unwrap();
        assert_eq!((selector.matchers.len(), selector.filters.len()), (4, 4));
    }
}
