# The parts of Proxmox VE that pve-nautobot-migrate uses, for a machine without PVE. They read and
# write the files of PVE's cluster file system in the directory $PVE_DIR. $PVE_LOCK_FAILS: why PVE does
# not get its lock.
package SDNStandIn;

use strict;
use warnings;

use JSON;

use Files qw(spew slurp);

$INC{$_} = __FILE__ for qw(
    PVE/Cluster.pm PVE/Network/SDN.pm PVE/Network/SDN/Controllers.pm PVE/Network/SDN/Ipams.pm
    PVE/Network/SDN/Ipams/Plugin.pm PVE/Network/SDN/Subnets.pm PVE/Network/SDN/Vnets.pm
    PVE/Network/SDN/Zones.pm
);

my $is_fresh = 0;

sub path {
    my ($name) = @_;

    return "$ENV{PVE_DIR}/sdn/$name";
}

# As if nobody had told PVE of the files before cfs_update.
sub text {
    my ($name) = @_;

    return $is_fresh && -e path($name) ? slurp(path($name)) : '';
}

sub json {
    my ($name) = @_;

    return decode_json(text($name) || '{}');
}

# a section file, by ID
sub sections {
    my ($name) = @_;

    my ($ids, $id) = ({});
    for my $line (split(/\n/, text("$name.cfg"))) {
        if ($line =~ m/^(\S+): (\S+)$/) {
            $id = $2;
            $ids->{$id} = { type => $1 };
        } elsif ($line =~ m/^\t(\S+) (.*)$/) {
            if ($1 eq 'dhcp-range') {
                push $ids->{$id}->{$1}->@*, $2;
            } else {
                $ids->{$id}->{$1} = $2;
            }
        }
    }
    return { ids => $ids };
}

sub lock_fails {
    die "cfs-lock '$_[0]' error: $ENV{PVE_LOCK_FAILS}\n" if $ENV{PVE_LOCK_FAILS};
}

package PVE::Cluster;

sub cfs_update {
    $is_fresh = 1;
}

package PVE::Network::SDN;

use JSON;

my @parts = qw(zones vnets subnets controllers);

sub running_config {
    return SDNStandIn::json('.running-config');
}

sub commit_config {
    my $running = { version => (running_config()->{version} // 0) + 1 };
    $running->{$_} = SDNStandIn::sections($_) for @parts;
    Files::spew(SDNStandIn::path('.running-config'), encode_json($running));
}

sub pending_config {
    my ($running, $configured, $part) = @_;

    my ($before, $after) = ($running->{$part}->{ids} // {}, $configured->{ids} // {});
    my $found = {};
    for my $id (keys(%{ { %$before, %$after } })) {
        my ($old, $new) = ($before->{$id} // {}, $after->{$id} // {});
        my $state = !%$old ? 'new' : !%$new ? 'deleted' : 'changed';
        my %pending;
        for my $key (keys(%{ { %$old, %$new } })) {
            my ($was, $is) = map { ref($_) ? join(',', @$_) : $_ } ($old->{$key}, $new->{$key});
            next if defined($was) && defined($is) && $was eq $is;
            $pending{$key} = $is // 'deleted';
        }
        $found->{$id} = { %$old, %pending ? (state => $state, pending => \%pending) : () };
    }
    return { ids => $found };
}

sub lock_sdn_config {
    my ($code, $errmsg) = @_;

    eval {
        SDNStandIn::lock_fails('domain-sdn');
        die "invalid lock token provided!\n" if -e SDNStandIn::path('.lock');
        $code->();
    };
    die "$errmsg: $@" if $@;
}

package PVE::Network::SDN::Zones;

sub config {
    return SDNStandIn::sections('zones');
}

sub write_config {
    my ($config) = @_;

    my $text = '';
    for my $id (sort keys($config->{ids}->%*)) {
        my $zone = $config->{ids}->{$id};
        $text .= join(
            "\n\t", "$zone->{type}: $id",
            map {"$_ $zone->{$_}"} grep { $_ ne 'type' } sort keys(%$zone)
        );
        $text .= "\n\n";
    }
    Files::spew(SDNStandIn::path('zones.cfg'), $text);
}

package PVE::Network::SDN::Vnets;

sub config {
    return SDNStandIn::sections('vnets');
}

package PVE::Network::SDN::Controllers;

sub config {
    return SDNStandIn::sections('controllers');
}

package PVE::Network::SDN::Subnets;

sub config {
    return SDNStandIn::sections('subnets');
}

sub sdn_subnets_config {
    my ($config, $id) = @_;

    my ($zone, $network, $mask) = split(/-/, $id);
    my $subnet = $config->{ids}->{$id};
    $subnet->@{qw(id zone network mask cidr)} = ($id, $zone, $network, $mask, "$network/$mask");
    return $subnet;
}

package PVE::Network::SDN::Ipams;

sub config {
    my $config = SDNStandIn::sections('ipams');
    $config->{ids}->{pve}->{type} = 'pve';
    return $config;
}

package PVE::Network::SDN::Ipams::Plugin;

# every plugin has its own
sub add_subnet { }
sub add_ip { }
sub del_ip { }

sub lookup {
    my ($class, $type) = @_;

    die "unknown section type '$type'\n" if $type ne 'pve';
    return 'PVE::Network::SDN::Ipams::PVEPlugin';
}

package PVE::Network::SDN::Ipams::PVEPlugin;

our @ISA = qw(PVE::Network::SDN::Ipams::Plugin);

sub read_db {
    return SDNStandIn::json('pve-ipam-state.json');
}

sub change {
    my ($subnet, $code) = @_;

    SDNStandIn::lock_fails('file-sdn_pve-ipam-state_json');
    my $db = read_db();
    $code->($db->{zones}->{ $subnet->{zone} }->{subnets} //= {});
    Files::spew(SDNStandIn::path('pve-ipam-state.json'), JSON::encode_json($db));
}

sub add_subnet {
    my ($class, $config, $id, $subnet) = @_;

    change($subnet, sub { $_[0]->{ $subnet->{cidr} } //= { ips => {} } });
}

sub ips {
    my ($subnets, $cidr) = @_;

    return ($subnets->{$cidr} // die "subnet '$cidr' doesn't exist in IPAM DB\n")->{ips};
}

sub add_ip {
    my ($class, $config, $id, $subnet, $ip, $hostname, $mac, $vmid, $is_gateway) = @_;

    my %guest = (vmid => $vmid, hostname => $hostname, mac => $mac);
    delete @guest{ grep { !$guest{$_} } keys(%guest) };
    my $add = sub {
        my $ips = ips($_[0], $subnet->{cidr});
        die "IP '$ip' already exist\n"
            if $ips->{$ip} && !($is_gateway && $ips->{$ip}->{gateway});
        $ips->{$ip} = $is_gateway ? { gateway => 1 } : \%guest;
    };
    change($subnet, $add);
}

sub del_ip {
    my ($class, $config, $id, $subnet, $ip) = @_;

    my $delete = sub {
        delete ips($_[0], $subnet->{cidr})->{$ip} // die "IP '$ip' does not exist in IPAM DB\n";
    };
    change($subnet, $delete);
}

1;
