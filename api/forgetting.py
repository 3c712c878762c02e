"""What the API forgets of people who were erased. A sweep looks: erasing knows no API."""

from api.models import ApiToken, FedRecord, FileUpload
from resolution.models import Erasure


def forget_erased() -> int:
    """Remove tokens, what was fed, and names of files of the erased; answer how many rows."""
    people = Erasure.objects.values("person")
    numbers = Erasure.objects.values("person__public_id")
    tokens = ApiToken.objects.filter(user__in=people, company=None).delete()[0]
    fed = FedRecord.objects.filter(record_id__in=numbers).delete()[0]
    names = FileUpload.objects.filter(user__in=people).exclude(filename="").update(filename="")
    return tokens + fed + names
