import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('nautobot_pve_ipam', '0004_names_of_one_line'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='allocation',
            index=models.Index(fields=['subnet', 'is_gateway', 'ip_address'], name='pve_ipam_allocation_by_subnet'),
        ),
        migrations.AlterField(
            model_name='allocation',
            name='subnet',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='allocations', to='nautobot_pve_ipam.sdnsubnet'),
        ),
    ]
