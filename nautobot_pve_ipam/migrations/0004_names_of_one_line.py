import django.core.validators
from django.db import migrations, models

ONE_LINE = [
    django.core.validators.RegexValidator(
        '[\\x00-\\x1f\\x7f-\\x9f]', "'%(value)s' contains a control character.", inverse_match=True
    )
]


class Migration(migrations.Migration):

    dependencies = [
        ('nautobot_pve_ipam', '0003_pvecluster_user'),
    ]

    operations = [
        migrations.AlterField(
            model_name='pvecluster',
            name='name',
            field=models.CharField(max_length=255, unique=True, validators=ONE_LINE),
        ),
        migrations.AlterField(
            model_name='sdnvnet',
            name='alias',
            field=models.CharField(blank=True, max_length=255, validators=ONE_LINE),
        ),
        migrations.AlterField(
            model_name='sdnsubnet',
            name='dns_zone_prefix',
            field=models.CharField(blank=True, max_length=255, validators=ONE_LINE),
        ),
        migrations.AlterField(
            model_name='allocation',
            name='hostname',
            field=models.CharField(blank=True, db_index=True, max_length=255, validators=ONE_LINE),
        ),
    ]
