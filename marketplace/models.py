"""Users, companies with their teams, products and memberships. No money and no cases here."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace import clock
from marketplace.public_ids import PublicIdField


class UserManager(BaseUserManager["User"]):
    """Finds and makes people by e-mail address, whatever its capitals."""

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").strip().lower())

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        fields.setdefault("name", email.split("@")[0])
        return self.create_user(
            email,
            password,
            **fields,
            is_staff=True,
            is_superuser=True,
            staff_role=User.StaffRole.FINANCE,
        )


class User(AbstractBaseUser, PermissionsMixin):
    """A person. The same person may buy, be on a company's team, or work for the platform."""

    class StaffRole(models.TextChoices):
        NONE = "", _lazy("Not staff")
        AGENT = "agent", _lazy("Agent")
        FINANCE = "finance", _lazy("Finance")

    public_id = PublicIdField("user_")
    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=120)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="An IANA name.")
    language = models.CharField(
        max_length=10,
        blank=True,
        default="",
        db_default="",
        help_text="One of those that there are, such as de; empty while nothing is known of it.",
    )
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, help_text="May enter the administration.")
    staff_role = models.CharField(
        max_length=10, choices=StaffRole.choices, default=StaffRole.NONE, blank=True
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]
    objects = UserManager()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["email"], name="user_email_once"),
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="user_email_in_small_letters"
            ),
            models.CheckConstraint(
                condition=models.Q(staff_role="") | models.Q(is_staff=True),
                name="user_staff_role_needs_staff",
            ),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        self.email = self.email.strip().lower()

    @property
    def first_name(self) -> str:
        """What a friendly message calls them."""
        return self.name.split(" ")[0] if self.name else ""


class Company(models.Model):
    """A creator's business: what sells, is paid, and answers cases."""

    public_id = PublicIdField("biz_")
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    team: "models.ManyToManyField[User, TeamMember]" = models.ManyToManyField(
        User, through="TeamMember", related_name="companies"
    )

    class Meta:
        verbose_name_plural = "companies"

    def __str__(self) -> str:
        return self.name


class TeamMember(models.Model):
    """A person's place in a company's team; the role says what they may do to a case."""

    class Role(models.TextChoices):
        OWNER = "owner", _lazy("Owner")
        ADMIN = "admin", _lazy("Admin")
        SUPPORT = "support", _lazy("Support")
        VIEWER = "viewer", _lazy("Viewer")

    company = models.ForeignKey(Company, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="team_places")
    role = models.CharField(max_length=10, choices=Role.choices)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["company", "user"], name="team_member_once"),
        )

    def __str__(self) -> str:
        return _("{user}, {get_role_display} of {company}").format(
            user=self.user, get_role_display=self.get_role_display(), company=self.company
        )


class Product(models.Model):
    """Something a company sells."""

    class Interval(models.TextChoices):
        ONCE = "once", _lazy("once")
        MONTH = "month", _lazy("a month")
        YEAR = "year", _lazy("a year")

    public_id = PublicIdField("prod_")
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="products")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    price_minor = models.BigIntegerField(help_text="In the currency's smallest unit.")
    currency = models.CharField(max_length=3)
    interval = models.CharField(max_length=5, choices=Interval.choices, default=Interval.ONCE)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A buyer's hold on a product."""

    class Status(models.TextChoices):
        ACTIVE = "active", _lazy("Active")
        CANCELED = "canceled", _lazy("Canceled")
        ENDED = "ended", _lazy("Ended")

    public_id = PublicIdField("mem_")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="memberships")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    started_at = models.DateTimeField(default=clock.now)
    renews_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return _("{product} for {user}").format(product=self.product, user=self.user)
