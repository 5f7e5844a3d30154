"""What the Spark session does when a statement takes long, and whose time zone a new one has."""

from __future__ import annotations

import time

import pytest

from lakehouse.session.session import sibling_session


@pytest.fixture
def slow_join(spark):
    """A session and a statement whose smaller side takes three seconds to come."""
    session = spark.newSession()
    session.conf.set(
        "spark.sql.adaptive.enabled", "false"
    )  # as the tags of a small bank are built; else Spark waits anyway

    def wait(number: int) -> int:
        time.sleep(3)
        return number

    session.udf.register("wait", wait, "long")
    session.sql("select wait(id) as id from range(0, 1, 1, 1)").createOrReplaceTempView("slow")
    return session, "select /*+ BROADCAST(slow) */ count(*) from range(9) r join slow on slow.id = r.id"


@pytest.mark.slow
def test_a_night_waits_for_the_smaller_side_of_a_join_however_long_it_takes(slow_join):
    session, statement = slow_join
    assert session.conf.get("spark.sql.broadcastTimeout") in ("-1", "-1s")
    session.conf.set("spark.sql.broadcastTimeout", "1")
    with pytest.raises(Exception, match="broadcast"):  # what the session's setting keeps from happening
        session.sql(statement).collect()
    session.conf.set("spark.sql.broadcastTimeout", "-1")
    assert session.sql(statement).first()[0] == 1


def test_a_new_session_has_the_time_zone_of_the_workspace_whose_session_it_comes_from(spark):
    """The process may have begun with a workspace in another time zone."""
    zone = "spark.sql.session.timeZone"
    parent = spark.newSession()
    parent.conf.set(zone, "Europe/Prague")
    assert spark.conf.get(zone) != "Europe/Prague"
    assert sibling_session(parent).conf.get(zone) == "Europe/Prague"


def test_the_jvm_of_a_worker_and_that_of_the_driver_take_pages_of_two_megabytes_for_the_small_side_of_a_join(
    spark,
):
    """The small side asks its JVM's properties, not the session's settings; a night of many joins fills the heap otherwise."""
    options = str(spark.conf.get("spark.executor.defaultJavaOptions"))
    words = spark._jvm.org.apache.spark.util.Utils.splitCommandString(options)
    assert words.mkString("|") == "-Dspark.buffer.pageSize=2m"
    assert spark._jvm.System.getProperty("spark.buffer.pageSize") == "2m"
