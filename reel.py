"""The `reel` command line: names each room's commands and composes nothing itself.

A room is imported only when one of its commands runs, so that `reel --help` answers at
once and `reel train` never loads a web server. To add a command, write it with click in
its room and name it in `COMMANDS`.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TextIO

import click

# name -> (module:attribute, the line that `reel --help` shows)
COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("gridworld.commands:train", "Train an agent and record every step."),
    "sweep": ("gridworld.sweep_command:sweep", "Train over seeds and lists of parameters."),
    "greedy": ("gridworld.showing_command:greedy", "Play the newest checkpoint of a directory."),
    "serve": ("replay_server.commands:serve", "Watch and replay runs in the browser."),
    "demo": ("replay_server.commands:demo", "Train, serve and open the page, all at once."),
    "play": ("replay_server.watching:play", "Play an episode in the terminal."),
    "watch": ("replay_server.watching:watch", "Follow a run live in the terminal."),
    "runs": ("recorder.inspection.tables:runs", "List the runs."),
    "episodes": ("recorder.inspection.tables:episodes", "List, filter and sort episodes."),
    "steps": ("recorder.inspection.tables:steps", "Print the steps of an episode."),
    "stats": ("recorder.inspection.figures:stats", "Say what a run is and comes to."),
    "highlights": ("recorder.inspection.figures:highlights", "Name episodes worth watching."),
    "compare": ("recorder.inspection.figures:compare", "Hold runs or episodes together."),
    "sql": ("recorder.inspection.tables:sql", "Ask a run in SQL."),
    "tag": ("recorder.inspection.curating:tag", "Put tags on a run or an episode."),
    "note": ("recorder.inspection.curating:note", "Write of a run or an episode."),
    "prune": ("recorder.inspection.curating:prune", "Take steps off a run, give space back."),
    "rm": ("recorder.inspection.curating:rm", "Delete runs."),
    "check": ("recorder.commands:check", "Look whether a run is as it was written."),
    "export": ("recorder.export.commands:export", "Write episodes for other programs."),
    "import": ("recorder.import_commands:import_", "Record a Minari dataset or a Monitor CSV."),
    "verify": ("recorder.resim.commands:verify", "Play episodes again: are they as recorded?"),
    "render": ("recorder.resim.commands:render", "Draw an episode by playing it again."),
    "recover": ("recorder.commands:recover", "Save what is whole of a damaged run."),
}


class LazyGroup(click.Group):
    """A click group that imports a command's module when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the table's order, which is the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the room that holds the command; None if the table does not name it."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="episode-reel", prog_name="reel")
def cli() -> None:
    """Reel, the flight recorder of reinforcement learning."""


def main(args: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    0 done, 1 what the system refused (a full disk, say), 2 wrong usage or an error that Reel
    raises on purpose, each one sentence on stderr and no traceback; 130 interrupted. Anything
    else is a bug and keeps its traceback.
    """
    try:
        outcome = cli.main(args, prog_name="reel", standalone_mode=False)
    except click.exceptions.Abort:  # what click makes of Ctrl-C
        raise SystemExit(130) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(2) from None
    except BrokenPipeError:
        _silence(sys.stdout)  # the reader (`| head`) has left
        raise SystemExit(1) from None
    except OSError as error:
        _tell(f"Error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}.")
        raise SystemExit(1) from None
    except Exception as error:
        # An error of the recorder's comes only from a recorder that was imported.
        recorder = sys.modules.get("recorder")
        if recorder is None or not isinstance(error, recorder.RecorderError):
            raise
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(2) from None
    raise SystemExit(outcome if isinstance(outcome, int) else 0)


def _tell(sentence: str) -> None:
    """Say why it ends, if anybody can hear it; what cannot be written must not speak again."""
    try:
        click.echo(sentence, err=True)
    except OSError:
        _silence(sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        _silence(sys.stdout)


def _silence(stream: TextIO) -> None:
    # Python would complain once more when it flushes the stream at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
