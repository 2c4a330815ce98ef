"""Runs the service: `python -m local.dicom_service --port 7072 [--host 127.0.0.1] [--database PATH]`."""

import argparse
import logging
import warnings

import uvicorn

from local.dicom_service.app import create_app


def main() -> None:
    """Serves until SIGINT or SIGTERM."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # pydicom's messages quote invalid values, and no patient's value may reach the log.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module="pydicom")
    app = create_app(arguments.database)
    uvicorn.run(app, host=arguments.host, port=arguments.port, access_log=False, log_config=None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.dicom_service", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7072, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--database", metavar="PATH", help="SQLite file that keeps the data; without it all is in memory"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
