"""What identifies a study and an instance in the app."""

StudyKey = tuple[str, str]
"""Data partition and StudyInstanceUID."""
InstanceIdentity = tuple[str, str, str, str]
"""Data partition, StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID."""


class OfInstance:
    """A record about one instance; an empty UID if it is not known, or if the record is about the whole study."""

    __slots__ = ()

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    partition: str

    @property
    def study(self) -> StudyKey:
        """Data partition and StudyInstanceUID."""
        return self.partition, self.study_instance_uid

    @property
    def instance(self) -> InstanceIdentity:
        """Data partition and UIDs of the instance."""
        return self.partition, self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid
