//! Prints the variables, builders and provisioners of a Packer template: `describe FILE...`.

#![allow(clippy::disallowed_methods, reason = "an example reads files")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let texts: Result<Vec<String>, _> = std::env::args().skip(1).map(std::fs::read_to_string).collect();
    let texts = match texts {
        Ok(texts) if !texts.is_empty() => texts,
        Ok(_) => {
            eprintln!("usage: describe FILE...");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let files: Vec<&str> = texts.iter().map(String::as_str).collect();
    let template = match packer_import::read(&files) {
        Ok(template) => template,
        Err(findings) => {
            for finding in findings {
                eprintln!("error: {}", finding.message);
            }
            return ExitCode::FAILURE;
        }
    };
    for variable in &template.variables {
        println!("variable {}: {:?}", variable.name, variable.value);
    }
    let provisioners = template.builds.iter().map(|build| ("provisioner", &build.provisioners));
    for (what, blocks) in std::iter::once(("builder", &template.builders)).chain(provisioners) {
        for block in blocks {
            println!("{what} {} {}", block.kind, block.name);
            for option in &block.options {
                println!("  {} = {:?}", option.name, option.value);
            }
        }
    }
    for finding in &template.findings {
        eprintln!("{:?}: {}", finding.kind, finding.message);
    }
    ExitCode::SUCCESS
}
