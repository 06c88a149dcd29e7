//! Build helper: turns the compiled wasm into an ES module and its JavaScript glue.
//!
//! `xtask bindgen <in.wasm> <out-dir>` writes `sluice.js`, `sluice_bg.wasm` and snippets. It exists
//! because no package registry carries the wasm-bindgen command line program under a pinned version;
//! the library it is made of is on crates.io, so cargo alone is enough to build the gateway.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bindgen", input, out] => bindgen(PathBuf::from(input), PathBuf::from(out)),
        _ => bail!("usage: xtask bindgen <in.wasm> <out-dir>"),
    }
}

fn bindgen(input: PathBuf, out: PathBuf) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(&input)
        .module(true)?
        .out_name("sluice")
        .typescript(false)
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .remove_name_section(std::env::var_os("SLUICE_KEEP_NAMES").is_none())
        .generate(&out)
        .with_context(|| format!("binding {}", input.display()))?;
    // Source-phase imports are not understood by every bundler yet; a plain import of a .wasm module
    // means the same to Workers.
    let js = out.join("sluice.js");
    let text = fs::read_to_string(&js)?.replace("import source ", "import ");
    fs::write(&js, text)?;
    Ok(())
}
