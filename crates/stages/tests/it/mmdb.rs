//! Writes `MaxMind` DB files: <https://maxmind.github.io/MaxMind-DB/>, version 2.0.

use std::net::IpAddr;

/// A value of the data section.
pub(crate) enum Value {
    Text(&'static str),
    Double(f64),
    U16(u16),
    U32(u32),
    U64(u64),
    Map(Vec<(&'static str, Value)>),
    Array(Vec<Value>),
}

impl Value {
    /// The names of a thing, in two languages.
    pub(crate) fn names(english: &'static str) -> Self {
        let names = vec![("de", Self::Text("anders")), ("en", Self::Text(english))];
        Self::Map(vec![("names", Self::Map(names))])
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                control(2, text.len(), out);
                out.extend(text.as_bytes());
            }
            Self::Double(number) => {
                control(3, 8, out);
                out.extend(number.to_be_bytes());
            }
            Self::U16(number) => {
                control(5, 2, out);
                out.extend(number.to_be_bytes());
            }
            Self::U32(number) => {
                control(6, 4, out);
                out.extend(number.to_be_bytes());
            }
            Self::U64(number) => {
                control(9, 8, out);
                out.extend(number.to_be_bytes());
            }
            Self::Map(pairs) => {
                control(7, pairs.len(), out);
                for (key, value) in pairs {
                    Self::Text(key).write(out);
                    value.write(out);
                }
            }
            Self::Array(values) => {
                control(11, values.len(), out);
                values.iter().for_each(|value| value.write(out));
            }
        }
    }
}

/// The control byte: a type from 8 on has a second one, a size from 29 on as well.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let small = u8::try_from(size.min(29)).unwrap();
    out.push(if kind < 8 { kind << 5 | small } else { small });
    if kind >= 8 {
        out.push(kind - 7);
    }
    if size >= 29 {
        out.push(u8::try_from(size - 29).unwrap());
    }
}

/// Returns a database of type `kind` that knows the networks, each by an address of it and the bits
/// that it shares. All are kept as addresses of version 6.
pub(crate) fn database(kind: &'static str, networks: &[(&str, usize, Value)]) -> Vec<u8> {
    let mut tree = Tree::default();
    let mut data = Vec::new();
    for (address, bits, value) in networks {
        tree.insert(address, *bits, data.len());
        value.write(&mut data);
    }
    let nodes = u32::try_from(tree.records.len() / 2).unwrap();
    let mut out = Vec::new();
    for record in &tree.records {
        let record = match record {
            None => nodes,
            Some(Child::Node(node)) => u32::try_from(*node).unwrap(),
            Some(Child::Value(at)) => nodes + 16 + u32::try_from(*at).unwrap(),
        };
        out.extend(record.to_be_bytes());
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let description = vec![("en", Value::Text("for tests"))];
    Value::Map(vec![
        ("binary_format_major_version", Value::U16(2)),
        ("binary_format_minor_version", Value::U16(0)),
        ("build_epoch", Value::U64(1_795_255_200)),
        ("database_type", Value::Text(kind)),
        ("description", Value::Map(description)),
        ("ip_version", Value::U16(6)),
        ("languages", Value::Array(vec![Value::Text("en")])),
        ("node_count", Value::U32(nodes)),
        ("record_size", Value::U16(32)),
    ])
    .write(&mut out);
    out
}

#[derive(Clone, Copy)]
enum Child {
    Node(usize),
    Value(usize),
}

/// The search tree: two records a node, for a bit that is 0 and for one that is 1.
struct Tree {
    records: Vec<Option<Child>>,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            records: vec![None; 2],
        }
    }
}

impl Tree {
    fn insert(&mut self, address: &str, bits: usize, at: usize) {
        let (address, bits) = match address.parse().unwrap() {
            IpAddr::V4(address) => (u128::from(address.to_bits()), bits + 96),
            IpAddr::V6(address) => (address.to_bits(), bits),
        };
        let mut node = 0;
        for bit in 0..bits {
            let record = 2 * node + usize::from(address >> (127 - bit) & 1 == 1);
            if bit + 1 == bits {
                *self.records.get_mut(record).unwrap() = Some(Child::Value(at));
                return;
            }
            node = self.next(record);
        }
    }

    /// The node behind a record, which is made where there is none.
    fn next(&mut self, record: usize) -> usize {
        if let Some(Some(Child::Node(node))) = self.records.get(record) {
            return *node;
        }
        let node = self.records.len() / 2;
        *self.records.get_mut(record).unwrap() = Some(Child::Node(node));
        self.records.extend([None; 2]);
        node
    }
}
