"""Prints what became of each test, from JUnit's XML; ends with 1 if that is not what was expected.

kafka-its-table.py REPORTS EXPECTED; each line of EXPECTED is `CLASS#METHOD reason`, * for any text, # for remarks.
"""
import fnmatch
import pathlib
import sys
import xml.etree.ElementTree as ET

reports, expected = map(pathlib.Path, sys.argv[1:])
lines = [line.split(maxsplit=1) for line in expected.read_text().splitlines()]
failures = [(words[0], words[1]) for words in lines if words and words[0] != "#"]

ran, left_out, surprises = 0, 0, 0
for report in sorted(reports.glob("TEST-*.xml")):
    for case in sorted(ET.parse(report).getroot().iter("testcase"), key=lambda case: case.get("name")):
        name = case.get("classname").rsplit(".", 1)[-1] + "#" + case.get("name").split("(")[0]
        fault = next((case.find(kind) for kind in ("failure", "error") if case.find(kind) is not None), None)
        reason = next((reason for pattern, reason in failures if fnmatch.fnmatchcase(name, pattern)), None)
        ran += 1
        if case.find("skipped") is not None:
            left_out += 1
            verdict = "left out: " + (reason or case.find("skipped").get("message", ""))
        elif fault is None:
            verdict = "passes" if reason is None else "PASSES, but is listed as not expected to: " + reason
            surprises += reason is not None
        else:
            said = " ".join((fault.get("message") or fault.text or "").split())[:200]
            verdict = "not expected to pass: " + reason if reason else "FAILS: " + said
            surprises += reason is None
        print(f"{name:<95} {float(case.get('time').replace(',', '')):6.1f} s  {verdict}")
print(f"{ran} tests, {left_out} left out, {surprises} not as expected")
sys.exit(0 if ran and not surprises else 1)
