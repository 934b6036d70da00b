"""A local Spark for the tests: two threads, four tries, a session zone far from everybody's."""

import os
import shutil
import sys
import tempfile

import pytest

ABSENT = "Java is not installed: nothing is asked of Spark"


@pytest.fixture(scope="session")
def spark():
    """A session of Spark whose own time zone is that of nobody's business."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip(ABSENT)
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable  # its workers read bayesseg too
    folder = tempfile.mkdtemp(prefix="bayesseg-spark-")
    settings = {
        "spark.driver.memory": "1g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": folder,
        "spark.sql.session.timeZone": "Pacific/Kiritimati",
        "spark.sql.adaptive.enabled": "false",  # the tables are small: plan once, compile nothing
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master("local[2,4]").appName("bayesseg-tests")
    session = builder.config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()
        shutil.rmtree(folder, ignore_errors=True)
