"""A small DICOM service with the change feed of Azure Health Data Services, for one machine. It is never deployed."""

from local.dicom_service.app import create_app

__all__ = ["create_app"]
