//! `stepscope watch DIR...`: the page of runs, live.

use stepscope_watch::{Options, Server, WatchError, terminal};

use crate::args::WatchArguments;
use crate::commands::print;
use crate::failure::Failure;

/// The variable that holds a token of the user's own: in the arguments every user of the machine could read it.
const TOKEN: &str = "STEPSCOPE_WATCH_TOKEN";

pub(super) fn run(arguments: WatchArguments) -> Result<(), Failure> {
    if arguments.terminal {
        return terminal::show(arguments.folders).map_err(Failure::failed);
    }
    let token = std::env::var(TOKEN).ok();
    let options = Options { port: arguments.port, listen: arguments.listen, token, ..Options::new(arguments.folders) };
    let server = Server::bind(options).map_err(|error| match error {
        WatchError::Bind { .. } | WatchError::Token { .. } => Failure::bad_input(error),
        _ => Failure::failed(error),
    })?;
    print(&format!("The page is at {} and follows the files; Ctrl-C ends it.", server.url()))?;
    server.run().map_err(Failure::failed)
}
