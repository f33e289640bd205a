//! Makes nodes of pieces.

use super::functions::Function;
use super::lex::{Mistake, Piece, Token, split};
use super::{Command, Node, Operand, Pipeline, Template};
use crate::draft::Slot;
use crate::pattern::Pattern;
use crate::program::Names;

/// Parentheses and `if` within each other, `else if` among them.
const MAX_NESTING: usize = 200;

const NO_FIELDS: &str = "values are text and have no fields; `$.name` is a field within a `with`";

const FUNCTION_HINT: &str =
    "use those of Promtail, comparisons, `printf`, and those of Sprig for text, numbers and lists";

/// Parses a template.
pub(super) fn parse(text: &str, names: &mut Names) -> Result<Template, Mistake> {
    let pieces = split(text)?;
    let mut parser = Parser {
        pieces: pieces.into_iter(),
        names,
        fields: Vec::new(),
        variables: Vec::new(),
        variable_count: 0,
        is_in_with: false,
        depth: 0,
    };
    let (nodes, end) = parser.block()?;
    match end {
        BlockEnd::Template => Ok(Template {
            nodes,
            fields: parser.fields,
            variables: parser.variable_count,
        }),
        BlockEnd::End(column) | BlockEnd::Else(_, column) => Err(Mistake::syntax(
            "an `end` or `else` without its `if` or `with`",
            column,
        )),
    }
}

struct Parser<'n> {
    pieces: std::vec::IntoIter<Piece>,
    names: &'n mut Names,
    fields: Vec<Slot>,
    /// Those that can be seen, the innermost last, with their indexes.
    variables: Vec<(String, usize)>,
    variable_count: usize,
    /// Whether `.` is the value of a `with`.
    is_in_with: bool,
    depth: usize,
}

/// What ends a list of nodes, and the column of what follows it.
enum BlockEnd {
    Template,
    End(usize),
    /// What stands behind `else`.
    Else(Vec<(Token, usize)>, usize),
}

/// Tokens of one action.
struct Tokens {
    rest: std::iter::Peekable<std::vec::IntoIter<(Token, usize)>>,
    column: usize,
}

impl Tokens {
    fn new(tokens: Vec<(Token, usize)>, column: usize) -> Self {
        Self {
            rest: tokens.into_iter().peekable(),
            column,
        }
    }

    fn next(&mut self) -> Option<Token> {
        let (token, column) = self.rest.next()?;
        self.column = column;
        Some(token)
    }

    fn peek(&mut self) -> Option<&Token> {
        self.rest.peek().map(|(token, _)| token)
    }

    /// Whether a field follows at a column: one of what ends there.
    fn has_field_at(&mut self, column: usize) -> bool {
        matches!(self.peek(), Some(Token::Field(_))) && self.column() == column
    }

    fn column(&mut self) -> usize {
        self.rest.peek().map_or(self.column, |(_, column)| *column)
    }
}

impl Parser<'_> {
    fn enter(&mut self, column: usize) -> Result<(), Mistake> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(Mistake::syntax("nesting deeper than 200", column));
        }
        Ok(())
    }

    /// Reads nodes up to the end of the block they are in.
    fn block(&mut self) -> Result<(Vec<Node>, BlockEnd), Mistake> {
        let mut nodes = Vec::new();
        loop {
            let (mut tokens, column) = match self.pieces.next() {
                None => return Ok((nodes, BlockEnd::Template)),
                Some(Piece::Text(text)) => {
                    nodes.push(Node::Text(text.into_bytes().into()));
                    continue;
                }
                Some(Piece::Action { tokens, column }) => (tokens, column),
            };
            match tokens.first() {
                Some((Token::Word(word), _)) if word == "end" && tokens.len() == 1 => {
                    return Ok((nodes, BlockEnd::End(column)));
                }
                Some((Token::Word(word), _)) if word == "else" => {
                    tokens.remove(0);
                    return Ok((nodes, BlockEnd::Else(tokens, column)));
                }
                Some((Token::Word(word), _)) if word == "if" || word == "with" => {
                    let is_with = word == "with";
                    tokens.remove(0);
                    nodes.push(self.condition(tokens, column, is_with)?);
                }
                _ => nodes.push(Node::Print(self.whole_pipeline(tokens, column)?)),
            }
        }
    }

    /// Reads an `if` or `with` whose condition is in `tokens`, up to its `end`.
    fn condition(
        &mut self,
        tokens: Vec<(Token, usize)>,
        column: usize,
        is_with: bool,
    ) -> Result<Node, Mistake> {
        self.enter(column)?;
        let outer = self.variables.len();
        let condition = self.whole_pipeline(tokens, column)?;
        let own = self.variables.len();
        let was_in_with = self.is_in_with;
        self.is_in_with |= is_with;
        let (then, end) = self.block()?;
        self.is_in_with = was_in_with;
        self.variables.truncate(own);
        let otherwise = self.otherwise(end, column)?;
        self.variables.truncate(outer);
        self.depth -= 1;
        Ok(Node::If {
            condition,
            is_with,
            then,
            otherwise,
        })
    }

    /// Reads what stands between an `else` and its `end`.
    fn otherwise(&mut self, end: BlockEnd, column: usize) -> Result<Vec<Node>, Mistake> {
        match end {
            BlockEnd::End(_) => Ok(Vec::new()),
            BlockEnd::Else(mut tokens, column) => match tokens.first() {
                None => {
                    let (nodes, end) = self.block()?;
                    if !matches!(end, BlockEnd::End(_)) {
                        return Err(Mistake::syntax("an `else` without its `end`", column));
                    }
                    Ok(nodes)
                }
                Some((Token::Word(word), _)) if word == "if" || word == "with" => {
                    let is_with = word == "with";
                    tokens.remove(0);
                    // It takes the `end` of the whole.
                    Ok(vec![self.condition(tokens, column, is_with)?])
                }
                Some(_) => Err(Mistake::syntax(
                    "only `if` or `with` may follow `else`",
                    column,
                )),
            },
            BlockEnd::Template => Err(Mistake::syntax(
                "an `if` or `with` without its `end`",
                column,
            )),
        }
    }

    /// Reads a pipeline, whose result a variable may keep: `$name := …` and `$name = …`.
    fn whole_pipeline(
        &mut self,
        tokens: Vec<(Token, usize)>,
        column: usize,
    ) -> Result<Pipeline, Mistake> {
        let variable = match (tokens.first(), tokens.get(1)) {
            (Some((Token::Variable(name), _)), Some((Token::Declare, _))) => {
                Some((name.clone(), true))
            }
            (Some((Token::Variable(name), _)), Some((Token::Assign, _))) => {
                Some((name.clone(), false))
            }
            _ => None,
        };
        let mut tokens = Tokens::new(tokens, column);
        let column = tokens.column();
        if variable.is_some() {
            tokens.next();
            tokens.next();
        }
        let mut pipeline = self.pipeline(&mut tokens)?;
        if tokens.next().is_some() {
            return Err(Mistake::syntax("a `)` without its `(`", tokens.column));
        }
        // It cannot be seen in what declares it.
        if let Some((name, is_new)) = variable {
            pipeline.variable = Some(if is_new {
                self.declare(name)
            } else {
                self.variable(&name, column)?
            });
        }
        Ok(pipeline)
    }

    fn declare(&mut self, name: String) -> usize {
        let index = self.variable_count;
        self.variable_count += 1;
        self.variables.push((name, index));
        index
    }

    /// Finds the variable that a name means here.
    fn variable(&self, name: &str, column: usize) -> Result<usize, Mistake> {
        let mut inner_first = self.variables.iter().rev();
        let found = inner_first.find(|(known, _)| known == name);
        found.map(|(_, index)| *index).ok_or_else(|| {
            let what = format!("the variable `${name}` is not declared");
            Mistake::syntax(what, column)
        })
    }

    /// Reads commands between pipes, up to the end or a closing parenthesis.
    fn pipeline(&mut self, tokens: &mut Tokens) -> Result<Pipeline, Mistake> {
        let mut commands = Vec::new();
        loop {
            commands.push(self.command(tokens, commands.is_empty())?);
            if tokens.peek() != Some(&Token::Pipe) {
                return Ok(Pipeline {
                    commands,
                    variable: None,
                });
            }
            tokens.next();
        }
    }

    fn command(&mut self, tokens: &mut Tokens, is_first: bool) -> Result<Command, Mistake> {
        let column = tokens.column();
        match tokens.next() {
            Some(Token::Word(word)) if !is_constant(&word) => {
                self.call(&word, column, tokens, is_first)
            }
            Some(token) => {
                let operand = self.operand(token, column, tokens)?;
                if !is_first {
                    return Err(Mistake::syntax("only a function can follow a `|`", column));
                }
                if !matches!(tokens.peek(), None | Some(Token::Pipe | Token::Close)) {
                    return Err(Mistake::syntax("a value is no function", column));
                }
                Ok(Command::Operand(operand))
            }
            None => Err(Mistake::syntax("a value is missing", column)),
        }
    }

    fn call(
        &mut self,
        name: &str,
        column: usize,
        tokens: &mut Tokens,
        is_first: bool,
    ) -> Result<Command, Mistake> {
        if name == "index" && is_first && self.is_of_all(tokens.peek()) {
            return self.index(column, tokens);
        }
        let function = Function::named(name).ok_or_else(|| Mistake {
            what: format!("there is no function `{name}`"),
            hint: FUNCTION_HINT,
            column,
        })?;
        let mut arguments = Vec::new();
        while !matches!(tokens.peek(), None | Some(Token::Pipe | Token::Close)) {
            let column = tokens.column();
            let Some(token) = tokens.next() else { break };
            arguments.push(self.operand(token, column, tokens)?);
        }
        let count = arguments.len() + usize::from(!is_first);
        if !function.takes(count) {
            return Err(Mistake::syntax(
                format!("`{name}` does not take {count} arguments"),
                column,
            ));
        }
        function
            .check(&arguments)
            .map_err(|what| Mistake::syntax(format!("`{name}`: {what}"), column))?;
        let pattern = pattern(function, &arguments, column)?;
        Ok(Command::Call {
            function,
            arguments,
            pattern,
        })
    }

    /// Whether a token stands for all values: `.`, and `$` wherever that is something else.
    fn is_of_all(&self, token: Option<&Token>) -> bool {
        match token {
            Some(Token::Point) => !self.is_in_with,
            Some(Token::Variable(name)) => name.is_empty(),
            _ => false,
        }
    }

    /// `index . "name"`: a field whose name is no name of Go's.
    fn index(&mut self, column: usize, tokens: &mut Tokens) -> Result<Command, Mistake> {
        match (tokens.next(), tokens.next()) {
            (Some(_), Some(Token::Text(name))) => Ok(Command::Operand(self.field(&name))),
            _ => Err(Mistake::syntax(
                "all values are understood as in `index . \"name\"`",
                column,
            )),
        }
    }

    fn field(&mut self, name: &str) -> Operand {
        match name {
            "Value" => Operand::Value,
            "Entry" => Operand::Entry,
            _ => {
                let slot = self.names.slot(name);
                let known = self.fields.iter().position(|field| *field == slot);
                Operand::Field(known.unwrap_or_else(|| {
                    self.fields.push(slot);
                    self.fields.len() - 1
                }))
            }
        }
    }

    fn operand(
        &mut self,
        token: Token,
        column: usize,
        tokens: &mut Tokens,
    ) -> Result<Operand, Mistake> {
        Ok(match token {
            Token::Field(name) => {
                if self.is_in_with || tokens.has_field_at(column + 1 + name.len()) {
                    return Err(Mistake::syntax(NO_FIELDS, column));
                }
                self.field(&name)
            }
            Token::Variable(name) => self.variable_operand(&name, column, tokens)?,
            Token::Text(text) => Operand::Text(text.into()),
            Token::Int(number) => Operand::Int(number),
            Token::Float(number) => Operand::Float(number),
            Token::Word(word) if word == "true" => Operand::Bool(true),
            Token::Word(word) if word == "false" => Operand::Bool(false),
            Token::Word(word) if word == "nil" => Operand::Nil,
            Token::Open => {
                self.enter(column)?;
                let pipeline = self.pipeline(tokens)?;
                if tokens.next() != Some(Token::Close) {
                    return Err(Mistake::syntax("a `)` is missing", tokens.column));
                }
                self.depth -= 1;
                let end = tokens.column + 1;
                part(Operand::Pipeline(pipeline), end, tokens)?
            }
            Token::Point if self.is_in_with => Operand::Point,
            Token::Point => {
                return Err(Mistake::syntax(
                    "`.` alone is all values, which has no use",
                    column,
                ));
            }
            Token::Word(word) => {
                return Err(Mistake::syntax(
                    format!("`{word}` is no value, and a call needs parentheses"),
                    column,
                ));
            }
            Token::Close | Token::Pipe => {
                return Err(Mistake::syntax("a value is missing", column));
            }
            Token::Declare | Token::Assign => {
                return Err(Mistake::syntax(
                    "a variable is set at the start of an action, as in `$name := .field`",
                    column,
                ));
            }
        })
    }

    /// `$name`, and `$.field`: a field wherever `.` is something else.
    fn variable_operand(
        &mut self,
        name: &str,
        column: usize,
        tokens: &mut Tokens,
    ) -> Result<Operand, Mistake> {
        let end = column + 1 + name.len();
        if !name.is_empty() {
            let variable = Operand::Variable(self.variable(name, column)?);
            return part(variable, end, tokens);
        }
        let has_field = tokens.has_field_at(end);
        match has_field.then(|| tokens.next()).flatten() {
            Some(Token::Field(field)) => {
                if tokens.has_field_at(column + 2 + field.len()) {
                    return Err(Mistake::syntax(NO_FIELDS, column));
                }
                Ok(self.field(&field))
            }
            _ => Err(Mistake::syntax(
                "`$` alone is all values, which has no use",
                column,
            )),
        }
    }
}

/// `._3` behind what ends at a column: a part of what `split` made.
fn part(value: Operand, end: usize, tokens: &mut Tokens) -> Result<Operand, Mistake> {
    if !tokens.has_field_at(end) {
        return Ok(value);
    }
    let place = match tokens.next() {
        Some(Token::Field(name)) => name.strip_prefix('_').and_then(|place| place.parse().ok()),
        _ => None,
    };
    match place {
        Some(place) => Ok(Operand::Part(Box::new(value), place)),
        None => Err(Mistake::syntax(NO_FIELDS, end)),
    }
}

fn is_constant(word: &str) -> bool {
    matches!(word, "true" | "false" | "nil")
}

/// Compiles the expression of a function that takes one.
fn pattern(
    function: &Function,
    arguments: &[Operand],
    column: usize,
) -> Result<Option<Box<Pattern>>, Mistake> {
    if !function.takes_pattern() {
        return Ok(None);
    }
    let Some(Operand::Text(expression)) = arguments.first() else {
        return Err(Mistake::syntax(
            "the regular expression must be a text in quotes",
            column,
        ));
    };
    let pattern =
        Pattern::new(expression).map_err(|fault| Mistake::syntax(fault.problem, column))?;
    Ok(Some(Box::new(pattern)))
}
