//! `evenkeel status`: what a run is doing.

mod json;
mod table;

use crate::client::{self, Address};
use crate::exit::Usage;
use crate::process::Interrupts;
use crate::runtime::block_on;
use crate::view::is_over;
use anyhow::{Context, Result};
use evenkeel_proto::v1::status_client::StatusClient;
use evenkeel_proto::v1::{GetStatusRequest, RunStatus, WatchStatusRequest};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The table is drawn again at most this often.
const REDRAW: Duration = Duration::from_millis(250);

#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  evenkeel status runs/chitchat\n  evenkeel status runs/chitchat --watch\n  \
    evenkeel status --coordinator node1:29400 --json | jq .step\n\n\
    With --watch --json, one object a line after every change, until the run is over."
)]
pub struct Args {
    /// The run's folder (`run.dir` of its configuration) [default: the one that was started last below runs/]
    run_dir: Option<PathBuf>,
    /// Ask this coordinator instead.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "run_dir")]
    coordinator: Option<Address>,
    /// Print JSON: one object, stable names, units in the names.
    #[arg(long)]
    json: bool,
    /// Go on showing until the run is over or Ctrl-C is pressed; looking never disturbs the run.
    #[arg(long)]
    watch: bool,
}

/// How a status is shown.
#[derive(Clone, Copy)]
enum Form {
    Table,
    Json,
}

pub fn run(args: Args) -> Result<()> {
    let address = match (args.coordinator, args.run_dir) {
        (Some(address), _) => address,
        (None, Some(run_dir)) => client::address_of_run(&run_dir)?,
        (None, None) => client::address_of_run(&latest_run(Path::new("runs"))?)?,
    };
    let form = if args.json { Form::Json } else { Form::Table };
    if args.watch { block_on(watch(&address, form)) } else { block_on(once(&address, form)) }
}

async fn once(address: &Address, form: Form) -> Result<()> {
    let mut client = StatusClient::new(client::connect(address).await?);
    let request = client::with_deadline(GetStatusRequest {});
    let response = client.get_status(request).await.map_err(|status| client::refusal(&status))?;
    let status = response.into_inner().status.context("the coordinator's answer holds no status")?;
    let text = match form {
        Form::Table => table::render(&status),
        Form::Json => json::pretty(&status)?,
    };
    print(&text)
}

async fn watch(address: &Address, form: Form) -> Result<()> {
    let mut interrupts = Interrupts::listen()?;
    let mut client = StatusClient::new(client::connect(address).await?);
    let mut updates =
        client.watch_status(WatchStatusRequest {}).await.map_err(|s| client::refusal(&s))?.into_inner();
    let mut drawn: Option<Instant> = None;
    loop {
        let update = tokio::select! {
            update = updates.message() => update.map_err(|status| client::refusal(&status))?,
            _ = interrupts.next() => return Ok(()),
        };
        let Some(status) = update.and_then(|response| response.status) else {
            return Ok(());
        };
        let due = drawn.is_none_or(|at| at.elapsed() >= REDRAW) || is_over(status.state());
        match form {
            Form::Json => print(&json::line(&status)?)?,
            Form::Table if due => {
                redraw(&status)?;
                drawn = Some(Instant::now());
            }
            Form::Table => {}
        }
    }
}

/// Draws over the last table on a terminal; below it anywhere else.
fn redraw(status: &RunStatus) -> Result<()> {
    let table = table::render(status);
    if std::io::stdout().is_terminal() {
        // Home, then clear from there on: less flicker than clearing first.
        return print(&format!("\x1b[H\x1b[J{table}"));
    }
    print(&table)
}

/// Whoever reads may have gone (`| head`): that is the end of the output, not a crash.
fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).context("cannot write the status")
}

/// The run below `folder` whose coordinator was started last.
fn latest_run(folder: &Path) -> Result<PathBuf> {
    let started =
        |run: &Path| run.join(client::ADDRESS_FILE).metadata().and_then(|data| data.modified()).ok();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let latest = entries.filter_map(|run| Some((started(&run)?, run))).max();
    latest.map(|(_, run)| run).ok_or_else(|| {
        Usage(
            "no run is active below runs/; name its folder (`run.dir`), or give --coordinator HOST:PORT"
                .into(),
        )
        .into()
    })
}
