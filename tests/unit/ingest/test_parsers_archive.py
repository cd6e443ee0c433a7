"""Archives are unpacked file by file; what cannot be is said, and what must not be is refused."""

import io
import random
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import InvalidFile, ParseLimitExceeded, ServiceUnavailable, UnsupportedFile
from ingest.documents import ParsedDocument
from ingest.parsers import parse_file
from ingest.parsers.archive import clean_path
from ingest.unpacking import ArchiveLimits, Unpacking
from tests.fuzz.laws import broken_laws
from tests.samples import small_samples
from tests.zips import (
    DEFLATED,
    ENCRYPTED,
    MIB,
    UTF_8,
    Raw,
    honest,
    nested,
    overlapping,
    plain_zip,
    zeros,
    zip_of,
)


def unpack(folder: Path, content: bytes, *, name: str = "a.zip", **limits: int) -> tuple[ParsedDocument, list[bytes]]:
    """Return the document, and the bytes of each member."""
    path, members = folder / "upload", folder / "members"
    path.write_bytes(content)
    members.mkdir()
    document = parse_file(path, name, unpacking=Unpacking(folder=members, limits=ArchiveLimits(**limits)))
    contents = [(members / str(number)).read_bytes() for number in range(len(document.members))]
    assert len(list(members.iterdir())) == len(contents), "something is left of a refused member"
    assert broken_laws(document) == []
    return document, contents


def paths(document: ParsedDocument) -> list[str]:
    return [member.path for member in document.members]


def test_the_document_of_an_archive_is_its_table_of_contents(tmp_path: Path) -> None:
    """It has a line for each file, and the files lie in the folder, in the same order."""
    packed = plain_zip({"b.txt": b"bees", "folder/": b"", "folder/a.txt": b"x" * 1234})
    document, contents = unpack(tmp_path, packed, name="notes.zip")
    assert document.text == "Archive notes.zip with 2 files\n\nb.txt, 4 bytes\n\nfolder/a.txt, 1,234 bytes"
    assert (document.title, document.media_type, document.warnings) == ("notes.zip", "application/zip", ())
    assert (paths(document), contents) == (["b.txt", "folder/a.txt"], [b"bees", b"x" * 1234])
    assert [member.bytes for member in document.members] == [4, 1234]


def test_without_a_folder_an_archive_is_read_all_the_same(tmp_path: Path) -> None:
    """Its files are dropped."""
    path = tmp_path / "upload"
    path.write_bytes(plain_zip({"a.txt": b"words"}))
    assert paths(parse_file(path, "a.zip")) == ["a.txt"]
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_every_format_come_out_as_they_went_in(tmp_path: Path) -> None:
    """Office files and books are zip files too, and are not taken for archives."""
    samples = small_samples()
    document, contents = unpack(tmp_path, plain_zip(samples), nesting=0)
    assert dict(zip(paths(document), contents, strict=True)) == samples
    assert document.warnings == ()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_method_that_python_knows_is_unpacked(tmp_path: Path, method: int) -> None:
    """Of contents longer than a piece, too."""
    content = random.Random(1).randbytes(3 * MIB)
    document, contents = unpack(tmp_path, plain_zip({"a.bin": content, "b.txt": b"words"}, method=method))
    assert (paths(document), contents) == (["a.bin", "b.txt"], [content, b"words"])


_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cf", "Zs"], exclude_characters="/\\:"))
_PARTS = _NAMES.filter(lambda name: name and not name.startswith(".") and name != "__MACOSX" and len(name) < 50)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.lists(_PARTS, min_size=1, max_size=4).map("/".join), st.binary(min_size=1), min_size=1))
def test_what_was_packed_is_unpacked(tree: Mapping[str, bytes]) -> None:
    """Any tree of files: the same paths, in Unicode's composed form, with the same bytes."""
    packed = plain_zip(tree)
    expected = {clean_path(info): tree[info.filename] for info in zipfile.ZipFile(io.BytesIO(packed)).infolist()}
    with TemporaryDirectory() as folder:
        document, contents = unpack(Path(folder), packed)
    assert dict(zip(paths(document), contents, strict=True)) == expected


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [
        (b"a/b.txt", 0, "a/b.txt"),
        (b"../../../etc/passwd", 0, "etc/passwd"),
        (b"/etc/passwd", 0, "etc/passwd"),
        (b"./a//b.txt", 0, "a/b.txt"),
        (b"C:\\temp\\a.txt", 0, "temp/a.txt"),
        (b"..\\..\\a.txt", 0, "a.txt"),
        (b"a\x1b[2J\x07.txt", 0, "a[2J.txt"),
        (b"a.txt\0.exe", 0, "a.txt.exe"),
        ("Größe.txt".encode(), UTF_8, "Größe.txt"),
        ("Größe.txt".encode(), 0, "Größe.txt"),
        ("報告.txt".encode(), 0, "報告.txt"),
        ("Größe.txt".encode("cp437"), 0, "Größe.txt"),
        ("Gro\u0308ße.txt".encode(), UTF_8, "Größe.txt"),
        ("a\u202etxt.exe".encode(), UTF_8, "atxt.exe"),
        (b" a / b.txt ", 0, "a/b.txt"),
    ],
)
def test_a_name_is_shown_as_people_read_it_and_opens_nothing(
    tmp_path: Path, name: bytes, flags: int, expected: str
) -> None:
    """No root, drive, parent or control character is left of it; names without the flag for UTF-8 may be UTF-8."""
    (tmp_path / "inside").mkdir()
    document, contents = unpack(tmp_path / "inside", zip_of(honest(name, flags=flags)))
    assert (paths(document), contents) == ([expected], [b"words"])
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]


def test_of_two_files_with_the_same_path_the_last_one_counts(tmp_path: Path) -> None:
    """As unpacking programs do; paths that only look different are the same."""
    document, contents = unpack(tmp_path, zip_of(honest("a.txt", b"old"), honest("./a.txt", b"new")))
    assert (paths(document), contents) == (["a.txt"], [b"new"])
    assert document.warnings == ("not unpacked: a.txt (another file of the same path follows)",)


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    """As in a folder; what macOS adds is hidden too. They are counted, and not listed one by one."""
    hidden = [".DS_Store", "__MACOSX/._a.txt", ".git/config", "a/.x/b.txt", ".a", ".b", ".c"]
    document, _ = unpack(tmp_path, zip_of(*map(honest, [*hidden, "a.txt"])))
    assert document.text == "Archive a.zip with 1 file\n\na.txt, 5 bytes"
    assert document.warnings == (
        "not unpacked: .DS_Store, __MACOSX/._a.txt, .git/config, a/.x/b.txt, .a and 2 more (hidden)",
    )


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (honest("bad", flags=ENCRYPTED), "encrypted"),
        (honest("bad", b"/etc/passwd", mode=stat.S_IFLNK | 0o777), "a symbolic link"),
        (honest("bad", mode=stat.S_IFIFO), "not a regular file"),
        (honest("bad", b""), "empty"),
        (replace(honest("bad"), method=9), "packed by method 9, which is not supported"),
        (replace(honest("bad"), crc=1), "damaged"),
        (replace(honest("bad", method=DEFLATED), packed=b"\xff" * 9), "damaged"),
        (replace(honest("bad", b"x" * 9, method=DEFLATED), size=5), "damaged"),
        (replace(honest("bad", flags=0x20)), "damaged"),
        (honest("bad", b"x" * 1001), "larger than 0 MiB"),
        (honest("bad/" + "x" * 256), "its path is too long"),
        (honest("x/" * 600 + "bad"), "its path is too long"),
        (honest(".."), "without a name"),
        (honest(""), "without a name"),
        (zeros("bad", 17 * MIB), "packed as tightly as a decompression bomb"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_not_unpacked_is_listed_with_the_reason(tmp_path: Path, member: Raw, reason: str) -> None:
    """The others are unpacked."""
    limit = 1000 if "larger" in reason else 200 * MIB
    document, contents = unpack(tmp_path, zip_of(honest("a.txt"), member, honest("z.txt")), member_bytes=limit)
    assert (paths(document), contents) == (["a.txt", "z.txt"], [b"words", b"words"])
    assert "1 file not unpacked" in document.text
    assert document.text.endswith(f": {reason}")
    (warning,) = document.warnings
    assert warning.endswith(f"({reason})")


def test_a_header_that_lies_about_the_packed_size_costs_one_file(tmp_path: Path) -> None:
    """Less than is there is damage; more, so that members overlap, is a bomb."""
    short = replace(honest("bad", b"x" * 99), packed_size=5)
    document, _ = unpack(tmp_path, zip_of(honest("a.txt"), short))
    assert document.warnings == ("not unpacked: bad (damaged)",)
    (tmp_path / "again").mkdir()
    with pytest.raises(ParseLimitExceeded, match="overlap"):
        unpack(tmp_path / "again", zip_of(replace(short, packed_size=500), honest("a.txt")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\5\6" + bytes(18), "'a.zip' is an archive without files; upload the files themselves"),
        (plain_zip({"folder/": b""}), "'a.zip' is an archive without files; upload the files themselves"),
        (plain_zip({".hidden": b"x"}), "'a.zip' is an archive without files; upload the files themselves"),
        (
            zip_of(honest("a", flags=ENCRYPTED), honest("b", flags=ENCRYPTED), honest(".x")),
            "'a.zip' is encrypted; unpack it and upload the files",
        ),
        (
            zip_of(honest("a", flags=ENCRYPTED), honest("b", b"")),
            "no file of 'a.zip' can be unpacked: a (encrypted); b (empty)",
        ),
    ],
)
def test_an_archive_out_of_which_nothing_comes_fails(tmp_path: Path, content: bytes, message: str) -> None:
    """The message says why, and what to do."""
    with pytest.raises(InvalidFile) as raised:
        unpack(tmp_path, content)
    assert raised.value.message == message


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-30],
        lambda packed: packed.replace(b"PK\1\2", b"PK\1\3"),
        lambda packed: packed[:-10] + struct.pack("<L", 1 << 31) + packed[-6:],
    ],
)
def test_a_damaged_directory_is_stated(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Without its directory an archive is not read at all."""
    with pytest.raises(InvalidFile, match=r"'a\.zip' is a damaged zip container"):
        unpack(tmp_path, damage(plain_zip({"a.txt": b"words", "b.txt": b"words"})))


# --- bombs ----------------------------------------------------------------------------------------------------------


def test_gigabytes_of_zeros_are_not_unpacked(tmp_path: Path) -> None:
    """Neither what says that it is large, nor what says that it is small."""
    with pytest.raises(InvalidFile, match=r"no file of 'a\.zip' can be unpacked: zeros \(larger than 512 MiB\)"):
        unpack(tmp_path, zip_of(replace(zeros("zeros", 64 * MIB), size=0xFFFFFFF0)))
    (tmp_path / "again").mkdir()
    with pytest.raises(InvalidFile, match=r"zeros \(damaged\)"):
        unpack(tmp_path / "again", zip_of(replace(zeros("zeros", 64 * MIB), size=1000)))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_of_another_method_is_refused(tmp_path: Path, method: int) -> None:
    """Methods that pack more tightly than deflate are no way around the limit."""
    with pytest.raises(InvalidFile, match=r"zeros \(packed as tightly as a decompression bomb\)"):
        unpack(tmp_path, plain_zip({"zeros": bytes(17 * MIB)}, method=method))


def test_many_small_bombs_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Each is below every limit of a file; their sum is not."""
    small = zeros("zeros", 16 * MIB)
    bomb = zip_of(*(replace(small, name=f"{n}".encode()) for n in range(9)))
    with pytest.raises(ParseLimitExceeded, match=r"'a\.zip' is a decompression bomb: it would unpack to 144 MiB"):
        unpack(tmp_path, bomb)
    assert list((tmp_path / "members").iterdir()) == []


def test_an_archive_that_unpacks_to_too_much_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The limit holds for the sum, however loosely the files are packed."""
    packed = zip_of(*(honest(name, bytes(MIB)) for name in "abc"))
    with pytest.raises(ParseLimitExceeded, match=r"'a\.zip' unpacks to 3 MiB, and 2 MiB are allowed"):
        unpack(tmp_path, packed, total_bytes=2 * MIB)
    assert list((tmp_path / "members").iterdir()) == []


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    """The bomb is sound to other programs: each member unpacks, with the right checksum."""
    bomb = overlapping(50, bytes(MIB))
    assert zipfile.ZipFile(io.BytesIO(bomb)).testzip() is None
    with pytest.raises(ParseLimitExceeded, match=r"'a\.zip' is a decompression bomb: its members overlap"):
        unpack(tmp_path, bomb)


def test_two_entries_for_the_same_bytes_are_refused(tmp_path: Path) -> None:
    """So one file could become ten thousand."""
    packed = plain_zip({"a.txt": b"words"})
    entry = packed[packed.index(b"PK\1\2") : packed.index(b"PK\5\6")]
    end = bytearray(packed[packed.index(b"PK\5\6") :])
    end[8:16] = struct.pack("<HHL", 2, 2, 2 * len(entry))
    with pytest.raises(ParseLimitExceeded, match="overlap"):
        unpack(tmp_path, packed[: packed.index(b"PK\5\6")] + entry + bytes(end))


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    """Those that would not be unpacked count, so that the list of reasons is bounded too; hidden ones do not."""
    with pytest.raises(ParseLimitExceeded, match=r"'a\.zip' holds 4 files, and 3 are allowed here"):
        unpack(tmp_path, zip_of(*map(honest, "abc"), honest("d", b"")), members=3)
    (tmp_path / "again").mkdir()
    document, _ = unpack(tmp_path / "again", zip_of(*map(honest, "abc"), honest(".d"), honest("e/", b"")), members=3)
    assert len(document.members) == 3


def test_an_archive_in_an_archive_is_a_file_like_the_others_until_it_lies_too_deep(tmp_path: Path) -> None:
    """Its own job unpacks it. An Office file is none, and a damaged one fails by itself."""
    samples = small_samples()
    contents = {"in.zip": nested(0, plain_zip({"a.txt": b"words"})), "b.docx": samples["a.docx"], "c.zip": b"PK\3\4no"}
    document, _ = unpack(tmp_path, plain_zip(contents), nesting=1)
    assert paths(document) == ["in.zip", "b.docx", "c.zip"]
    (tmp_path / "again").mkdir()
    document, _ = unpack(tmp_path / "again", plain_zip(contents), nesting=0)
    assert paths(document) == ["b.docx", "c.zip"]
    assert document.warnings == ("not unpacked: in.zip (an archive that lies too deep in other archives)",)


def test_a_damaged_package_in_the_last_archive_fails_by_itself(tmp_path: Path) -> None:
    """Whether it is an archive, which lies too deep, cannot be told; the others are unpacked."""
    package = zip_of(replace(honest("mimetype", b"\x09\x04\x05\x00" + b"\xff" * 20), method=zipfile.ZIP_LZMA))
    document, _ = unpack(tmp_path, zip_of(honest("a.txt"), honest("b.odt", package)), nesting=0)
    assert paths(document) == ["a.txt", "b.odt"]


def test_a_full_disk_is_no_fault_of_the_file(tmp_path: Path) -> None:
    """It is stated as an outage, which passes."""
    path = tmp_path / "upload"
    path.write_bytes(plain_zip({"a.txt": b"words"}))
    missing = Unpacking(folder=tmp_path / "missing" / "folder")
    with pytest.raises(ServiceUnavailable, match=r"'a\.txt' of 'a\.zip' cannot be unpacked here"):
        parse_file(path, "a.zip", unpacking=missing)


# --- what is no archive for us --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"Index/Document.iwa": b"x"}, "is an Apple iWork document, which no parser reads; export it as PDF"),
        ({"META-INF/MANIFEST.MF": b"x", "A.class": b"x"}, "is a Java program"),
        ({"mimetype": b"application/x-krita", "a.txt": b"x"}, "is application/x-krita"),
        (
            {"[Content_Types].xml": b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'},
            "is a package of Office's kind without a document in it",
        ),
    ],
)
def test_packages_of_other_programs_are_not_unpacked(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    """What would come out of them helps nobody; the message says what the file is."""
    with pytest.raises(UnsupportedFile, match=message):
        unpack(tmp_path, plain_zip(members))


@pytest.mark.parametrize("name", ["mimetype", "[Content_Types].xml"])
def test_a_file_that_happens_to_be_called_like_a_declaration_is_a_file(tmp_path: Path, name: str) -> None:
    """Only a declared type in it makes the archive a package."""
    document, _ = unpack(tmp_path, plain_zip({name: b"Notes on types.\nMore.", "a.txt": b"x"}))
    assert paths(document) == [name, "a.txt"]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x1f\x8b\x08\0", "application/gzip"),
        (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
        (b"Rar!\x1a\x07\0", "application/vnd.rar"),
        (bytes(257) + b"ustar", "application/x-tar"),
    ],
)
def test_other_archives_are_refused_with_the_way_out(tmp_path: Path, head: bytes, kind: str) -> None:
    """They can be packed again as what is read."""
    message = f"is {kind}, which no parser reads; unpack it and upload the files, or pack them as .zip"
    with pytest.raises(UnsupportedFile, match=message):
        unpack(tmp_path, head + bytes(100))
