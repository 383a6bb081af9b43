import nautobot.core.models.fields
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('nautobot_pve_ipam', '0001_initial'),
    ]

    operations = [
        migrations.AlterField(
            model_name='allocation',
            name='mac',
            field=nautobot.core.models.fields.MACAddressCharField(blank=True, db_index=True, default='', null=True),
        ),
    ]
