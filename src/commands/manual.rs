//! `lakeward completions` and `lakeward man`: the command line told to shells and to `man`.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit::Exit;

/// Prints the completions for a shell.
pub fn completions(shell: Shell) -> Result<(), Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lakeward", &mut script);
    print(&script);
    Ok(())
}

/// Prints the manual page, or writes the pages of all commands into a folder.
pub fn man(to: Option<&Path>) -> Result<(), Exit> {
    if let Some(folder) = to {
        let write = || {
            std::fs::create_dir_all(folder)?;
            clap_mangen::generate_to(Cli::command(), folder)
        };
        return write().map_err(|e| Exit::usage(format!("{}: {e}", folder.display())));
    }
    let mut page = Vec::new();
    Man::new(Cli::command()).render(&mut page).map_err(|e| Exit::bug(e.to_string()))?;
    print(&page);
    Ok(())
}

fn print(text: &[u8]) {
    crate::text::say_as_is(&String::from_utf8_lossy(text));
}
