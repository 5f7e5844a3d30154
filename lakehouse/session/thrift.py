"""Spark's Thrift server over what is published: views of every published table for tools that speak JDBC or ODBC.

Whoever may connect may do what this process may: Spark SQL reads files, writes tables and runs classes, and no setting forbids it.
So it listens on this machine alone unless Spark itself asks who is there, and its masks keep values from who does not look for them.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakehouse.errors import EnvironmentUnready, UsageError
from lakehouse.query.export import Texts
from lakehouse.query.masks import MARK, WITHHELD, Mask, Masks
from lakehouse.query.published import Publication
from lakehouse.query.words import spark_identifier, spark_literal, spark_literals
from lakehouse.session.session import has_jars, jars_folder, start_session
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

AUTHENTICATION = "hive.server2.authentication"
# Those by which Spark knows who connects; with NONE and NOSASL anybody is believed.
_KNOWS_WHO = ("KERBEROS", "LDAP", "PAM", "CUSTOM")
_HADOOP = "spark.hadoop."
_HOST, _PORT = "hive.server2.thrift.bind.host", "hive.server2.thrift.port"
# Hive takes these of the environment before any setting.
_ADDRESSES_OF_HIVE = (
    "HIVE_SERVER2_THRIFT_BIND_HOST",
    "HIVE_SERVER2_THRIFT_PORT",
    "HIVE_SERVER2_THRIFT_HTTP_PORT",
)
_SERVER = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"


@dataclass
class ThriftServer:
    """A server that runs in the session of this process, with the views it shows and the version of each table."""

    settings: Settings
    spark: SparkSession
    masks: Masks
    versions: dict[str, int] = field(default_factory=dict)
    key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    def show(self, publication: Publication, texts: Mapping[str, Texts]) -> int:
        """Bring the views to a publication, each table at its version; give how many tables were brought."""
        for name in self.versions.keys() - publication.tables.keys():
            self.spark.sql(f"DROP VIEW IF EXISTS {_path(name)}")
            del self.versions[name]
        new_versions = {
            name: version
            for name, version in sorted(publication.tables.items())
            if self.versions.get(name) != version
        }
        for name, version in new_versions.items():
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {spark_identifier(name.partition('.')[0])}")
            self.spark.sql(self._view(name, version, texts[name]))
            self.versions[name] = version
        return len(new_versions)

    def require_life(self) -> None:
        """Raise ``EnvironmentUnready`` where Spark has ended, by memory or by somebody's hand."""
        from py4j.protocol import Py4JError

        try:
            self.spark._jvm.System.nanoTime()  # type: ignore[attr-defined,union-attr]
        except Py4JError as wrong:
            raise EnvironmentUnready(
                "Spark ended while it served; give it more by spark.driver_memory in cdp.yml if memory was short"
            ) from wrong

    def _view(self, name: str, version: int, texts: Texts) -> str:
        rows = f"delta.{spark_identifier(str(self.settings.lake.joinpath(*name.split('.'))))} VERSION AS OF {version}"
        fields = {
            column.name: column.dataType for column in self.spark.sql(f"SELECT * FROM {rows}").schema.fields
        }
        masked = self.masks(name, fields)
        columns, values = [], []
        for column, kind in fields.items():
            quoted = spark_identifier(column)
            parts = [texts.columns.get(column, ""), "masked" if column in masked else ""]
            comment = spark_literal("; ".join(part for part in parts if part))
            columns.append(f"{quoted} COMMENT {comment}")
            mask = masked.get(column)
            values.append(quoted if mask is None else f"{_masked(quoted, kind, mask, self.key)} AS {quoted}")
        return (
            f"CREATE OR REPLACE VIEW {_path(name)} ({', '.join(columns)}) COMMENT {spark_literal(texts.description)} "
            f"AS SELECT {', '.join(values)} FROM {rows}"
        )


def start_thrift_server(settings: Settings, masks: Masks, host: str, port: int) -> ThriftServer:
    """Start Spark and its Thrift server on ``host`` and ``port``, without a view yet.

    ``UsageError`` for another address than this machine's while Spark does not ask who connects; ``EnvironmentUnready`` for a Spark without the server
    and where the port cannot be listened on.
    """
    require_known_guests(settings, host)
    if not has_jars(settings):
        raise EnvironmentUnready("Delta's JARs are not here; run `cdp jars fetch` first")
    for name in _ADDRESSES_OF_HIVE:
        os.environ.pop(name, None)
    spark = start_session(_with_server(settings, host, port), name="cdp serve")
    try:
        _server_of(spark).startWithContext(spark._jsparkSession.sqlContext())  # type: ignore[attr-defined]
    except Exception as wrong:
        spark.stop()
        if "NoClassDefFoundError" in str(wrong) or "not callable" in str(wrong):
            raise EnvironmentUnready(
                "this Spark has no Thrift server (the JAR spark-hive-thriftserver is missing)"
            ) from wrong
        if "BindException" in str(wrong) or "Could not create ServerSocket" in str(wrong):
            raise EnvironmentUnready(f"nothing can listen on {host}:{port}; name a free --port") from wrong
        raise
    return ThriftServer(settings, spark, masks)


def require_known_guests(settings: Settings, host: str) -> None:
    """Raise ``UsageError`` where others than this machine could connect without saying who they are."""
    # Which of two keys counts is Spark's affair, so both have to be good.
    keys = (AUTHENTICATION, f"{_HADOOP}{AUTHENTICATION}")
    ways = [settings.spark.conf[key].upper() for key in keys if key in settings.spark.conf] or ["NONE"]
    if not set(ways) <= set(_KNOWS_WHO) and not _is_this_machine(host):
        raise UsageError(
            f"whoever reaches {host} could read and write all that this user may: listen on 127.0.0.1, or let Spark ask who connects "
            f"(spark.conf: spark.hadoop.{AUTHENTICATION}: LDAP or KERBEROS, in cdp.yml)"
        )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _with_server(settings: Settings, host: str, port: int) -> Settings:
    """Give the settings of a session that serves; what the site says in ``spark.conf`` wins but for the address."""
    folder = jars_folder(settings)
    conf = {
        # The server looks for classes of the session by the loader of the program, which does not know JARs that came later.
        "spark.driver.extraClassPath": f"{folder}/*",
        "spark.sql.thriftServer.incrementalCollect": "true",
        "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:derby:memory:metastore;create=true",
        **{key: value for key, value in settings.spark.conf.items() if key not in (_HOST, _PORT)},
        f"{_HADOOP}{_HOST}": host,
        f"{_HADOOP}{_PORT}": str(port),
    }
    return settings.model_copy(update={"spark": settings.spark.model_copy(update={"conf": conf})})


def _server_of(spark: SparkSession) -> Any:
    server = spark._jvm  # type: ignore[attr-defined]
    for part in _SERVER.split("."):
        server = getattr(server, part)
    return server


def _masked(column: str, kind: Any, mask: Mask, key: str) -> str:
    """Give SQL for what readers see of a column, as ``lakehouse.query.reading`` shows it."""
    if kind.typeName() != "string":
        text_sql = f"CAST(NULL AS {kind.simpleString()})"
    elif mask.is_withheld:
        text_sql = spark_literal(WITHHELD)
    else:
        mark, secret = spark_literal(MARK), spark_literal(key)
        text_sql = f"concat({mark}, left(sha2(concat({secret}, {column}, {secret}), 256), 16))"
    if mask.tags:
        return f"CASE WHEN tag IN ({spark_literals(sorted(mask.tags))}) THEN {text_sql} ELSE {column} END"
    return text_sql


def _path(name: str) -> str:
    return ".".join(map(spark_identifier, name.split(".")))
