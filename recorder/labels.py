"""What people say of a run afterwards: a name, tags and notes, of the run and of episodes.

They stand in `labels.json` beside the tape, never in it: only a run's recorder has the
tape open for writing, and a run can be labelled while it records. The file is replaced
whole, so a reader finds the old one or the new one; writers take turns under a lock on
the run's directory. What is read is checked: the file may be foreign.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from recorder.episode import EpisodeSummary
from recorder.errors import DamagedLabels, LabelError, NewerSchema, RunNotFound, RunsDirError
from recorder.schema import FILE_NAME

LABELS_NAME = "labels.json"
VERSION = 1
MAX_BYTES = 4 << 20
MAX_NAME = 200
MAX_TAG = 64
MAX_TAGS = 64
MAX_NOTE = 10_000
MAX_EPISODES = 10_000
_NEW = ".labels.json.new"
_LAST_EPISODE = (1 << 63) - 1


@dataclass(frozen=True)
class EpisodeLabels:
    """What people say of one episode.

    Attributes:
        tags: words, each once, in the order they were given.
        note: free text, empty where there is none.
    """

    tags: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Labels:
    """What people say of a run.

    Attributes:
        name: what it is called now; None where it was not renamed.
        tags: words, each once, in the order they were given.
        note: free text, empty where there is none.
        episodes: by number, those of which anything is said.
    """

    name: str | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    episodes: Mapping[int, EpisodeLabels] = field(default_factory=lambda: MappingProxyType({}))

    def told_of(self, summary: EpisodeSummary) -> EpisodeSummary:
        """Return an episode's summary with what is said of it; its own tags come first."""
        said = self.episodes.get(summary.episode)
        if said is None:
            return summary
        tags = tuple(dict.fromkeys((*summary.tags, *said.tags)))
        return replace(summary, tags=tags, note=said.note)


def read_labels(run_dir: str | Path) -> Labels:
    """Return what is said of a run; nothing, where nobody has said anything.

    Raises:
        DamagedLabels: the file is not what was written.
        NewerSchema: it was written by a newer Reel.
    """
    path = Path(run_dir) / LABELS_NAME
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return Labels()
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _damaged(path, "what is no file")
    with os.fdopen(fd, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _damaged(path, f"more than {MAX_BYTES:,} bytes")
    try:
        return _parsed(json.loads(data))
    except NewerSchema:
        raise
    except (LabelError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, str(error) or type(error).__name__) from error


def known_labels(run_dir: Path) -> tuple[Labels, str | None]:
    """Return the same, or none and why they cannot be read: a run is worth seeing without."""
    try:
        return read_labels(run_dir), None
    except (DamagedLabels, NewerSchema) as error:
        return Labels(), str(error)


def label_run(
    run_dir: str | Path,
    *,
    name: str | None = None,
    add_tags: Iterable[str] = (),
    remove_tags: Iterable[str] = (),
    note: str | None = None,
) -> Labels:
    """Say something of a run; what is not named stays. May be called while it records.

    Args:
        run_dir: the run's directory.
        name: what it is called from now on, `MAX_NAME` characters at most; empty: as it
            was recorded. Its id, which is its directory's name, stays.
        add_tags: words without spaces, `MAX_TAG` characters each, `MAX_TAGS` in all.
        remove_tags: words; one that is not there is no error.
        note: free text in place of the note before, `MAX_NOTE` characters at most; empty:
            none.

    Returns:
        All that is said of the run now.

    Raises:
        LabelError: a name, tag or note that cannot be stored.
        RunNotFound: there is no run.
        DamagedLabels: what stands there cannot be read, so nothing is added to it.
        RunsDirError: the directory cannot be written.
    """
    add, remove = _tags(add_tags), _tags(remove_tags)
    name = None if name is None else _name(name)
    note = None if note is None else _note(note)

    def change(labels: Labels) -> Labels:
        return replace(
            labels,
            name=labels.name if name is None else name or None,
            tags=_changed(labels.tags, add, remove),
            note=labels.note if note is None else note,
        )

    return _change(Path(run_dir), change)


def label_episode(
    run_dir: str | Path,
    episode: int,
    *,
    add_tags: Iterable[str] = (),
    remove_tags: Iterable[str] = (),
    note: str | None = None,
) -> EpisodeLabels:
    """Say something of an episode; arguments and errors as for `label_run`.

    Whether the run has such an episode is not asked: it may be damaged, or still to come.

    Raises:
        LabelError: a tag or note that cannot be stored, a number that no episode has, or
            more than `MAX_EPISODES` episodes with labels.
    """
    add, remove = _tags(add_tags), _tags(remove_tags)
    note = None if note is None else _note(note)
    if not 0 <= episode <= _LAST_EPISODE:
        raise LabelError(f"expected the number of an episode, from 0, got {episode}")

    def change(labels: Labels) -> Labels:
        episodes = dict(labels.episodes)
        old = episodes.pop(episode, EpisodeLabels())
        new = EpisodeLabels(_changed(old.tags, add, remove), old.note if note is None else note)
        if new != EpisodeLabels():
            episodes[episode] = new
        return replace(labels, episodes=episodes)

    return _change(Path(run_dir), change).episodes.get(episode, EpisodeLabels())


class LabelReader:
    """A run's labels as they are now, read again only when the file was replaced.

    Args:
        run_dir: the run's directory.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = ()
        self._labels = Labels()
        self._fault: DamagedLabels | NewerSchema | None = None

    def read(self) -> Labels:
        """Return them.

        Raises:
            DamagedLabels, NewerSchema: see `read_labels`.
        """
        with self._lock:
            seen = _signature(self._run_dir)
            if seen != self._seen:
                self._labels, self._fault = Labels(), None
                try:
                    self._labels = read_labels(self._run_dir)
                except (DamagedLabels, NewerSchema) as error:
                    self._fault = error
                self._seen = seen
            if self._fault is not None:
                raise self._fault
            return self._labels

    def known(self) -> tuple[Labels, str | None]:
        """Return what `known_labels` does."""
        try:
            return self.read(), None
        except (DamagedLabels, NewerSchema) as error:
            return Labels(), str(error)


def _signature(run_dir: Path) -> tuple[int, ...] | None:
    try:
        found = (run_dir / LABELS_NAME).lstat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _change(run_dir: Path, change: Any) -> Labels:
    if not (run_dir / FILE_NAME).is_file():
        raise RunNotFound(
            f"expected a run's directory with {FILE_NAME} in it, got {run_dir}; "
            "name a directory such as runs/<run id>"
        )
    try:
        with _alone(run_dir):
            labels: Labels = change(read_labels(run_dir))
            _write(run_dir, labels)
            return replace(labels, episodes=MappingProxyType(dict(labels.episodes)))
    except OSError as error:
        raise RunsDirError(
            f"expected to write {LABELS_NAME} into {run_dir}, got: {error.strerror or error}; "
            "labels stay as they were"
        ) from error


@contextlib.contextmanager
def _alone(run_dir: Path) -> Iterator[None]:
    """Hold back other writers of labels; recorders and readers do not mind."""
    fd = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _write(run_dir: Path, labels: Labels) -> None:
    if len(labels.episodes) > MAX_EPISODES:
        raise LabelError(
            f"expected labels of at most {MAX_EPISODES:,} episodes, got {len(labels.episodes):,}; "
            "take some off, or tag episodes as they are recorded"
        )
    plain = {
        "reel_labels": VERSION,
        "name": labels.name,
        "tags": labels.tags,
        "note": labels.note,
        "episodes": {
            str(number): {"tags": said.tags, "note": said.note}
            for number, said in sorted(labels.episodes.items())
        },
    }
    data = json.dumps(plain, ensure_ascii=False, indent=1).encode()
    if len(data) > MAX_BYTES:
        raise LabelError(
            f"expected labels that take at most {MAX_BYTES:,} bytes in all, got {len(data):,}; "
            "shorten some notes"
        )
    new = run_dir / _NEW
    # Left by a writer that was killed; whatever stands there is not followed.
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        new.replace(run_dir / LABELS_NAME)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    directory = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _parsed(plain: Any) -> Labels:
    if not isinstance(plain, dict) or not isinstance(plain.get("reel_labels"), int):
        raise LabelError("another JSON")
    if plain["reel_labels"] > VERSION:
        raise NewerSchema(
            f"expected labels of version {VERSION} or older, got version "
            f"{plain['reel_labels']}; install a newer Reel (pip install -U episode-reel)"
        )
    episodes = plain["episodes"]
    if not isinstance(episodes, dict) or len(episodes) > MAX_EPISODES:
        raise LabelError(f"labels of more than {MAX_EPISODES:,} episodes, or of none by number")
    by_number = {
        _number(text): EpisodeLabels(_tags(said["tags"]), _note(said["note"]))
        for text, said in episodes.items()
    }
    return Labels(
        None if plain["name"] is None else _name(plain["name"]),
        _tags(plain["tags"]),
        _note(plain["note"]),
        MappingProxyType(by_number),
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= _LAST_EPISODE):
        raise LabelError(f"expected the number of an episode, got {text[:40]!r}")
    return int(text)


def _name(text: Any) -> str:
    _check_text(text, "a name", MAX_NAME)
    return str(text).strip()


def _note(text: Any) -> str:
    _check_text(text, "a note", MAX_NOTE, "\n\t")
    return str(text).strip()


def _tags(tags: Any) -> tuple[str, ...]:
    words = (tags,) if isinstance(tags, str) else tuple(tags)
    for word in words:
        _check_text(word, "a tag", MAX_TAG)
        if len(word.split()) != 1 or word != word.strip():
            raise LabelError(f"expected tags as words without spaces, got {word!r}; use dashes")
    return _checked_count(tuple(dict.fromkeys(words)))


def _checked_count(tags: tuple[str, ...]) -> tuple[str, ...]:
    if len(tags) > MAX_TAGS:
        raise LabelError(f"expected at most {MAX_TAGS} tags, got {len(tags)}; take some off first")
    return tags


def _changed(
    tags: tuple[str, ...], add: tuple[str, ...], remove: tuple[str, ...]
) -> tuple[str, ...]:
    return _checked_count(tuple(tag for tag in dict.fromkeys((*tags, *add)) if tag not in remove))


def _check_text(text: Any, what: str, most: int, allowed: str = "") -> None:
    if not isinstance(text, str):
        raise LabelError(f"expected {what} as text, got {text!r:.80}")
    if len(text) > most:
        raise LabelError(f"expected {what} of at most {most:,} characters, got {len(text):,}")
    # Control characters would speak to a terminal, lone surrogates cannot be written.
    bad = [c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in allowed]
    if bad:
        raise LabelError(f"expected {what} without control characters, got {bad[0]!r} in it")


def _damaged(path: Path, came: str) -> DamagedLabels:
    return DamagedLabels(
        f"expected the labels of a run at {path}, got {came}; mend the file, or delete it to "
        "begin anew (the recorded steps do not depend on it)"
    )
