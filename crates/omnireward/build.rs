//! Lists the files of the small set, so that the program carries them.

use std::{env, error::Error, fmt::Write, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=demo");
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("demo");
    let mut names = vec!["pairs.jsonl".to_owned()];
    for entry in fs::read_dir(root.join("media"))? {
        names.push(format!("media/{}", entry?.file_name().to_string_lossy()));
    }
    names.sort();
    let mut list = String::from("const EMBEDDED: &[(&str, &[u8])] = &[\n");
    for name in names {
        let path = root.join(&name);
        writeln!(list, "    ({name:?}, include_bytes!({path:?})),")?;
    }
    list.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("embedded.rs"), list)?;
    Ok(())
}
