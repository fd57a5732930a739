//! Reads Packer templates, JSON and HCL2, into a plain description.
//!
//! [`read`] returns a [`Template`]: variables, builders, provisioners and post-processors, each
//! with its [`Place`] in the source. A [`Text`] is a list of literals and references. The crate
//! reads no files and needs no Packer.
//!
//! ```
//! use packer_import::{TextPart, Value};
//!
//! let template = packer_import::read(&[r#"{
//!     "variables": {"size": "s-1vcpu-1gb"},
//!     "builders": [{"type": "digitalocean", "size": "{{user `size`}}"}]
//! }"#])
//! .expect("the template is well-formed");
//! let size = &template.builders[0].get("size").expect("the option is set").value;
//! let Value::Text(text) = size else { panic!("not a text: {size:?}") };
//! assert_eq!(text.parts(), [TextPart::Variable("size".to_owned())]);
//! ```

mod hcl;
mod json;
mod template;
mod text;

pub use template::{Block, Build, Finding, FindingKind, Place, Setting, Template, Value, Variable};
pub use text::{Folder, Text, TextPart};

/// Reads the files of one Packer template: a single JSON file, or all HCL2 files of a directory.
///
/// Parts that the description cannot express are in [`Template::findings`].
///
/// # Errors
///
/// Returns all findings if a file cannot be parsed, or if the files contain neither builders nor
/// provisioners. At least one of them is [`FindingKind::Unreadable`].
pub fn read(files: &[&str]) -> Result<Template, Vec<Finding>> {
    read_with_values(files, &[])
}

/// Reads a template as [`read`] does, and gives its variables the values in other files, JSON or HCL. Later files
/// win. In a [`Place`], the indices of these files follow those of the template.
///
/// # Errors
///
/// Fails as [`read`] does, also if a file of values cannot be parsed.
pub fn read_with_values(files: &[&str], values: &[&str]) -> Result<Template, Vec<Finding>> {
    let mut template = Template::default();
    for (file, text) in files.iter().enumerate() {
        let reader = if text.trim_start().starts_with('{') { json::read } else { hcl::read };
        reader(text, file, &mut template);
    }
    for (index, text) in values.iter().enumerate() {
        let reader = if text.trim_start().starts_with('{') { json::values } else { hcl::values };
        reader(text, files.len() + index, &mut template);
    }
    let is_unreadable =
        |template: &Template| template.findings.iter().any(|found| found.kind == FindingKind::Unreadable);
    let has_provisioners = template.builds.iter().any(|build| !build.provisioners.is_empty());
    if !is_unreadable(&template) && template.builders.is_empty() && !has_provisioners {
        template.unreadable(
            Place::default(),
            "expected a Packer template, found no source and no provisioner",
            "name a Packer template with a builder; if it has several HCL files, name their directory",
        );
    }
    if is_unreadable(&template) { Err(template.findings) } else { Ok(template) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_errors_have_places() {
        for (text, message, start) in [
            ("{\"builders\": [}", "expected JSON: ", 14),
            ("{\"variables\": {}}", "expected `builders`, found none", 0),
            ("", "expected a Packer template, found no source and no provisioner", 0),
            ("variable \"x\" {}\n", "expected a Packer template, found no source and no provisioner", 0),
            ("{\"builders\": [{\"a\": {\"x\": 1, \"x\": 2}}]}", "`x` is twice in the same object", 29),
            ("source \"digitalocean\" {\n  image = \n}\n", "expected HCL2 or JSON: ", 34),
        ] {
            let findings = read(&[text]).unwrap_err();
            assert!(findings[0].message.starts_with(message), "{:?}", findings[0]);
            assert_eq!(findings[0].place.start, start, "{:?}", findings[0]);
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        for text in ["[".repeat(100_000), format!("a = {}", "[".repeat(100_000)), "a {\n".repeat(100_000)] {
            assert!(!read(&[&text]).unwrap_err().is_empty());
        }
    }

    /// In HCL, braces of other programs are text.
    #[test]
    fn braces_of_commands_stay_in_hcl() {
        let hcl = "build {\n  provisioner \"shell\" {\n    inline = [\"docker ps --format '{{.Names}}'\"]\n  }\n}\n";
        let template = read(&[hcl]).unwrap();
        let shown = format!("{:?}", template.builds[0].provisioners[0].options);
        assert!(shown.contains("{{.Names}}") && !shown.contains("Unsupported"), "{shown}");
    }

    #[test]
    fn json_and_hcl_give_the_same_description() {
        let json = r#"{"variables": {"v": "1", "s": null}, "sensitive-variables": ["s"],
          "builders": [{"type": "digitalocean", "size": "{{user `v`}}-{{timestamp}}", "tags": ["a"], "ipv6": true, "vpc_uuid": null}],
          "provisioners": [{"type": "shell", "inline": ["date"]}]}"#;
        let hcl = r#"
          variable "v" { default = "1" }
          variable "s" { sensitive = true }
          source "digitalocean" "digitalocean" {
            size = "${var.v}-${timestamp()}"
            tags = ["a"]
            ipv6 = true
            vpc_uuid = null
          }
          build {
            provisioner "shell" { inline = ["date"] }
          }"#;
        let [json, hcl] = [json, hcl].map(|text| read(&[text]).unwrap());
        let described = |template: &Template| {
            let blocks = template.builders.iter().chain(&template.builds[0].provisioners);
            let options = |block: &Block| {
                block.options.iter().map(|option| format!("{} {:?}", option.name, option.value)).collect::<Vec<_>>()
            };
            let variables = template.variables.iter();
            (
                blocks.map(|block| (block.kind.clone(), options(block))).collect::<Vec<_>>(),
                variables.map(|v| (v.name.clone(), v.value.clone(), v.sensitive)).collect::<Vec<_>>(),
            )
        };
        assert_eq!(described(&json), described(&hcl));
        assert!(json.findings.is_empty() && hcl.findings.is_empty());
    }

    #[test]
    fn places_are_byte_ranges_of_the_right_file() {
        let files = ["source \"digitalocean\" \"é\" {}\n", "build {\n  provisioner \"shell\" {\n    x = 1\n  }\n}\n"];
        let template = read(&files).unwrap();
        let slice = |place: Place| &files[place.file][place.start..place.end];
        assert_eq!(slice(template.builders[0].place), "source \"digitalocean\" \"é\" {}");
        assert_eq!(slice(template.builds[0].provisioners[0].place), "provisioner \"shell\" {");
        assert_eq!(slice(template.builds[0].provisioners[0].options[0].place), "x = 1");
    }

    /// Each form of a block, with what the description has of it.
    #[test]
    fn blocks_and_attributes_of_hcl() {
        let hcl = r#"
          packer {}
          variable "a" {
            default     = "1"
            description = "what it is"
            sensitive   = false
          }
          locals { b = "2" }
          local "c" {
            expression = "3"
            sensitive  = true
          }
          source "digitalocean" "x" {}
          build {
            name    = "y"
            sources = ["source.digitalocean.x"]
            source "digitalocean.z" { size = "s" }
            provisioner "file" {
              source = "a"
              nested { key = "v" }
            }
            error-cleanup-provisioner "shell" {}
            post-processor "one" {}
            post-processors {
              post-processor "two" {}
            }
          }
          stray = 1"#;
        let template = read(&[hcl]).unwrap();
        let variables = template.variables.iter();
        let variables: Vec<_> = variables.map(|v| (&*v.name, v.sensitive, v.description.as_deref())).collect();
        assert_eq!(variables, [("a", false, Some("what it is")), ("b", false, None), ("c", true, None)]);
        let texts: Vec<_> = template.variables.iter().map(|v| v.value.as_ref().and_then(Text::plain)).collect();
        assert_eq!(texts, [Some("1"), Some("2"), Some("3")]);
        let kinds = |blocks: &[Block]| blocks.iter().map(|b| format!("{} {}", b.kind, b.name)).collect::<Vec<_>>();
        let build = &template.builds[0];
        assert_eq!(kinds(&template.builders), ["digitalocean x"]);
        assert_eq!(kinds(&build.sources), ["digitalocean x", "digitalocean z"]);
        assert_eq!(kinds(&build.provisioners), ["file "]);
        assert_eq!(kinds(&build.post_processors), ["one ", "two "]);
        let names: Vec<_> = build.provisioners[0].options.iter().map(|option| &*option.name).collect();
        assert_eq!(names, ["source", "nested"]);
        let found: Vec<_> = template.findings.iter().map(|found| &*found.message).collect();
        assert_eq!(found, ["`stray` is outside of any block"]);
    }

    #[test]
    fn files_of_values_replace_defaults() {
        let hcl = "variable \"a\" {}\nvariable \"b\" {\n  default = \"1\"\n}\nlocals {\n  c = \"2\"\n}\nsource \"x\" \"y\" {}\n";
        let values = ["a = \"one\"\nb = [\"x\", \"y\"]\n", "{\"a\": \"two\", \"c\": \"9\"}"];
        let template = read_with_values(&[hcl], &values).unwrap();
        let texts: Vec<_> = template.variables.iter().map(|v| v.value.as_ref().and_then(Text::plain)).collect();
        assert_eq!(texts, [Some("two"), Some("x y"), Some("2")]);
        let found: Vec<_> = template.findings.iter().map(|found| (found.place.file, &*found.message)).collect();
        assert_eq!(found, [(2, "the template has no variable `c`")]);
        assert_eq!(read_with_values(&[hcl], &["a = "]).unwrap_err()[0].place.file, 1);
    }

    #[test]
    fn unknown_parts_are_findings() {
        let json = read(&[r#"{"builders": [{"type": "x"}], "extra": 1}"#]).unwrap();
        assert_eq!(
            json.findings[0].message,
            "`extra` is not a key of a Packer template, or its value has the wrong type"
        );
        let hcl = "data \"http\" \"x\" {}\nsource \"a\" \"b\" {}\nbuild {\n  hcp {}\n}\n\
                   variable \"v\" {\n  default = upper(\"x\")\n  validation {}\n}\n";
        let found: Vec<(FindingKind, String)> =
            read(&[hcl]).unwrap().findings.into_iter().map(|found| (found.kind, found.message)).collect();
        let unsupported = |message: &str| (FindingKind::Unsupported, message.to_owned());
        assert_eq!(
            found,
            [
                unsupported("`data http x` is not supported"),
                unsupported("`hcp` in a build is not supported"),
                unsupported("the value of `v` cannot be evaluated: upper(\"x\")"),
                (FindingKind::Ignored, "the validation of `v` is not checked".to_owned()),
            ]
        );
    }
}
