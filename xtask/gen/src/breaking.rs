//! Additive only: what a caller may rely on stays.
//!
//! Compares descriptor sets: packages, services, methods, messages, fields and
//! enum values of the baseline must exist unchanged. New ones are welcome.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

fn baseline(contracts: &Path) -> PathBuf {
    contracts.join("proto/baseline.bin")
}

/// What the new descriptors take away from the baseline.
pub fn against_baseline(contracts: &Path, new: &[u8]) -> Result<Vec<String>> {
    let path = baseline(contracts);
    let old = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let old =
        promises(&FileDescriptorSet::decode(old.as_slice()).context("the baseline is broken")?);
    let new = promises(&FileDescriptorSet::decode(new)?);
    Ok(compare(&old, &new))
}

/// Makes `new` the baseline.
pub fn accept(contracts: &Path, new: &[u8]) -> Result<()> {
    let path = baseline(contracts);
    fs::write(&path, new).with_context(|| format!("cannot write {}", path.display()))
}

/// Every promise of a set: what it is about, and what it says.
type Promises = BTreeMap<String, String>;

fn compare(old: &Promises, new: &Promises) -> Vec<String> {
    old.iter()
        .filter_map(|(subject, said)| match new.get(subject) {
            None => Some(format!("{subject} is gone (it was {said})")),
            Some(says) if says != said => Some(format!("{subject} was {said} and is now {says}")),
            Some(_) => None,
        })
        .collect()
}

fn promises(set: &FileDescriptorSet) -> Promises {
    let mut promises = Promises::new();
    for file in &set.file {
        let package = file.package();
        for message in &file.message_type {
            of_message(package, message, &mut promises);
        }
        for kind in &file.enum_type {
            of_enum(package, kind, &mut promises);
        }
        for service in &file.service {
            for method in &service.method {
                let said = format!(
                    "({}{}) → {}{}",
                    if method.client_streaming() { "stream " } else { "" },
                    method.input_type(),
                    if method.server_streaming() { "stream " } else { "" },
                    method.output_type(),
                );
                promises
                    .insert(format!("rpc {package}.{}/{}", service.name(), method.name()), said);
            }
        }
    }
    promises
}

fn of_message(scope: &str, message: &DescriptorProto, promises: &mut Promises) {
    let name = format!("{scope}.{}", message.name());
    promises.insert(format!("message {name}"), "a message".to_owned());
    for field in &message.field {
        // The number is the promise on the wire, the name the one in JSON and code.
        let said = format!(
            "`{}`, {} {} {}",
            field.name(),
            field.label().as_str_name(),
            field.r#type().as_str_name(),
            field.type_name(),
        );
        promises.insert(format!("field {name} = {}", field.number()), said.trim_end().to_owned());
    }
    for nested in &message.nested_type {
        of_message(&name, nested, promises);
    }
    for kind in &message.enum_type {
        of_enum(&name, kind, promises);
    }
}

fn of_enum(scope: &str, kind: &EnumDescriptorProto, promises: &mut Promises) {
    let name = format!("{scope}.{}", kind.name());
    for value in &kind.value {
        promises
            .insert(format!("value {name} = {}", value.number()), format!("`{}`", value.name()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output;

    const OLD: &str = "syntax = \"proto3\"; package shop.v1;\
        service S { rpc Do(A) returns (B); }\
        message A { string sku = 1; int64 qty = 2; } message B { E e = 1; } enum E { NONE = 0; HELD = 1; }";

    fn changes(new: &str) -> Vec<String> {
        let set = |text: &str| {
            let folder = tempfile::tempdir().expect("a folder");
            fs::create_dir_all(folder.path().join("proto")).expect("a folder");
            fs::write(folder.path().join("proto/shop.proto"), text).expect("a file");
            let output = output::generate(folder.path()).expect("it compiles");
            promises(&FileDescriptorSet::decode(output.descriptors.as_slice()).expect("a set"))
        };
        compare(&set(OLD), &set(new))
    }

    #[test]
    fn additions_break_nobody() {
        let new = OLD
            .replace("qty = 2;", "qty = 2; string sale_id = 3;")
            .replace("HELD = 1;", "HELD = 1; SHORT = 2;")
            .replace("returns (B);", "returns (B); rpc More(A) returns (B);");
        assert!(changes(&new).is_empty());
    }

    #[test]
    fn every_kind_of_breaking_change_is_named() {
        for (from, to, subject) in [
            ("int64 qty = 2;", "", "field shop.v1.A = 2"),
            ("int64 qty = 2;", "int32 qty = 2;", "field shop.v1.A = 2"),
            ("int64 qty = 2;", "repeated int64 qty = 2;", "field shop.v1.A = 2"),
            ("int64 qty = 2;", "int64 count = 2;", "field shop.v1.A = 2"),
            ("int64 qty = 2;", "int64 qty = 3;", "field shop.v1.A = 2"),
            ("HELD = 1;", "", "value shop.v1.E = 1"),
            ("rpc Do(A)", "rpc Do(stream A)", "rpc shop.v1.S/Do"),
            ("rpc Do(A)", "rpc Act(A)", "rpc shop.v1.S/Do"),
        ] {
            let found = changes(&OLD.replace(from, to));
            assert_eq!(found.len(), 1, "{from} → {to}: {found:?}");
            assert!(found[0].starts_with(subject), "{found:?}");
        }
    }

    #[test]
    fn the_proto_files_keep_the_promises_of_the_baseline() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let contracts = manifest.ancestors().nth(2).expect("xtask/gen").join("backend/contracts");
        assert!(
            baseline(&contracts).is_file(),
            "the baseline is missing: `cargo run -p xtask-gen -- --accept`"
        );
        let output = output::generate(&contracts).expect("the proto files compile");
        let broken = against_baseline(&contracts, &output.descriptors).expect("comparable");
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }
}
