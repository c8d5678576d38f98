"""The root command: loads a command's module when it is used, and turns errors into one line."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import click

from offramp import __version__
from offramp.core.errors import DiskFull, OfframpError

COMMANDS = {
    "serve": "The gateway: every call reaches the LLM, what is certified is answered by a specialist.",
    "replay": "A teacher that answers from recorded calls: for tests, demos and what-ifs.",
    "import": "Take recorded calls from files into the store, masked and encrypted.",
    "export": "Write recorded calls to a file that other tools read.",
    "scan": "One command, no set-up: which share of this traffic could leave the LLM?",
    "tasks": "The tasks discovered in the recorded calls; convertible or not, and why.",
    "models": "Small models that could be the base: what passes on a device, and why the others do not.",
    "judge": "The judge of free text: measure how often it is wrong.",
    "convert": "Dataset, candidates, training, certificate: for every convertible task, or one.",
    "promote": "Put a certified specialist live.",
    "rollback": "Take a task back to the LLM, at once.",
    "status": "What serves what, with live risk bounds.",
    "keys": "Who may use this installation, and for what.",
    "audit": "Who read what: the audit log, and whether it is whole.",
    "erase": "Remove a person's calls, and say what was built from them.",
    "store": "The store: its size, its upkeep, new keys.",
    "plan": "What the specialists need on a device, and what it all costs.",
    "probe": "How fast an engine that is there reads prompts and writes tokens.",
    "enforce": "Carry out a placement: command lines, manifests, engines that are kept up.",
    "simulate": "A placement under the arrivals of a trace: latencies, overflow, cost.",
    "report": "One self-contained HTML page of the last conversion.",
    "demo": "The whole loop on bundled recorded traffic, on this machine, in minutes.",
    "doctor": "Check this installation: what is there, what is missing, what to do.",
}
HIDDEN = ("recorder", "worker")
INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are imported when named, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the visible commands in the order of a first use."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module and return its command."""
        del ctx
        if cmd_name not in COMMANDS and cmd_name not in HIDDEN:
            return None
        name = "import_" if cmd_name == "import" else cmd_name
        command: click.Command = importlib.import_module(f"offramp.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="offramp")
@click.option("--settings", type=click.Path(), default=None, help="Settings file (default: offramp.toml).")
@click.option("--home", type=click.Path(), default=None, help="Folder of store, key and specialists.")
@click.pass_context
def root(ctx: click.Context, settings: str | None, home: str | None) -> None:
    """Takes an agent's routine calls off the large model, one certified task at a time."""
    ctx.obj = {"settings": settings, "home": home}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with a stable code (see `offramp.core.errors`)."""
    try:
        root.main(args=arguments, prog_name="offramp", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("offramp: interrupted; nothing half-written stays behind.", err=True)
        sys.exit(INTERRUPTED)
    except OfframpError as error:
        click.echo(f"offramp: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno != _NO_SPACE:
            raise
        full = DiskFull(f"The disk is full: {error}.", hint="Free some space and run the command again.")
        click.echo(f"offramp: {full}", err=True)
        sys.exit(full.exit_code)


def echo_json(value: Any) -> None:
    """Print a JSON value for ``--json``."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


_NO_SPACE = 28
