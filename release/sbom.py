"""The bill of materials (CycloneDX): every pin of ``requirements.txt`` and every JAR, with hashes and licences."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from lakehouse.session.session import known_sums
from release.pins import RUN, licence_of, read_pins

# A JAR says its licence in the POM beside it and not in itself; a group that is not here has no bill.
JAR_LICENCES = {
    "com.google.code.findbugs": "Apache-2.0",
    "io.delta": "Apache-2.0",
    "io.unitycatalog": "Apache-2.0",
}


def bill_of_materials(version: str, made_at: datetime, lock: Path = RUN) -> str:
    """Give the bill of a release as JSON; the same files and the same instant give the same text."""
    licences = LicenseFactory()
    bom = Bom()
    bom.metadata.timestamp = made_at
    product = Component(
        name="oneid-cdp", version=version, type=ComponentType.APPLICATION, bom_ref=f"oneid-cdp@{version}",
        licenses=[licences.make_from_string("Apache-2.0")],
    )  # fmt: skip
    bom.metadata.component = product
    parts = []
    for pin in read_pins(lock):
        licence = licence_of(pin.name)
        purl = PackageURL("pypi", None, pin.name, pin.version)
        parts.append(
            Component(
                name=pin.name, version=pin.version, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl),
                hashes=[_sha256(digest) for digest in pin.sha256],
                licenses=[licences.make_from_string(licence)] if licence else [],
            )
        )  # fmt: skip
    for file, digest in known_sums().items():
        coordinates, _, number = file.removesuffix(".jar").rpartition("-")
        group, _, artifact = coordinates.partition("_")
        purl = PackageURL("maven", group, artifact, number)
        parts.append(
            Component(
                group=group, name=artifact, version=number, type=ComponentType.LIBRARY, purl=purl, bom_ref=file,
                hashes=[_sha256(digest)], licenses=[licences.make_from_string(JAR_LICENCES[group])],
            )
        )  # fmt: skip
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(product, parts)
    bom.serial_number = uuid5(
        NAMESPACE_URL, "\n".join(sorted(str(part.bom_ref) for part in (product, *parts)))
    )
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)
